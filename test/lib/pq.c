/* The driver's side of a packed virtqueue: see pq.h. */
#include "lib/pq.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

enum { NEXT = 1, AVAIL = 1 << 7, USED = 1 << 15 };
enum { CALLS_ON, CALLS_OFF, CALLS_AT };

static _Atomic uint16_t *word(const struct pq *pq, uint64_t iova)
{
	return (_Atomic uint16_t *)ram_at(pq->ram, iova, 2);
}

static _Atomic uint16_t *flags_of(const struct pq *pq, unsigned index)
{
	return word(pq, pq->desc + 16u * index + 14);
}

uint64_t pq_init(struct pq *pq, struct ram *ram, uint16_t num, uint64_t iova)
{
	memset(pq, 0, sizeof(*pq));
	pq->ram = ram;
	pq->num = num;
	pq->desc = (iova + 15) & ~UINT64_C(15);
	pq->driver = pq->desc + 16u * num;
	pq->device = pq->driver + 4;
	pq_start_at(pq, 0, true);
	return pq->device + 4;
}

void pq_start_at(struct pq *pq, uint16_t index, bool wrap)
{
	memset(ram_at(pq->ram, pq->desc, 16u * pq->num + 8), 0, 16u * pq->num + 8);
	pq->next_avail = pq->next_used = index;
	pq->avail_wrap = pq->used_wrap = wrap;
	pq->added = 0;
	/* Neither available nor used in this lap, nor in the next. */
	for (unsigned i = 0; i < pq->num; i++)
		atomic_store(flags_of(pq, i), (i < index) == wrap ? AVAIL | USED : 0);
}

uint32_t pq_base(const struct pq *pq)
{
	uint32_t at = pq->next_avail | (pq->avail_wrap ? 0x8000u : 0);

	return at | at << 16;
}

void pq_offer(struct pq *pq, uint16_t id, const struct pq_buffer *buffers, unsigned count)
{
	unsigned first = pq->next_avail;
	uint16_t first_flags = 0;

	assert(id < PQ_IDS);
	pq->length[id] = (uint16_t)count;
	for (unsigned i = 0; i < count; i++) {
		uint16_t flags = buffers[i].flags | (i + 1 < count ? NEXT : 0) |
				 (pq->avail_wrap ? AVAIL : USED);
		uint8_t *p = ram_at(pq->ram, pq->desc + 16u * pq->next_avail, 16);

		memcpy(p, &buffers[i].addr, 8);
		memcpy(p + 8, &buffers[i].len, 4);
		memcpy(p + 12, &id, 2);
		if (i)
			atomic_store(flags_of(pq, pq->next_avail), flags);
		else
			first_flags = flags;
		if (++pq->next_avail == pq->num) {
			pq->next_avail = 0;
			pq->avail_wrap = !pq->avail_wrap;
		}
	}
	pq->added = (uint16_t)(pq->added + count);
	atomic_store(flags_of(pq, first), first_flags);
}

bool pq_wants_kick(struct pq *pq)
{
	uint16_t at, flags, added = pq->added;

	atomic_thread_fence(memory_order_seq_cst);
	pq->added = 0;
	at = atomic_load(word(pq, pq->device));
	flags = atomic_load(word(pq, pq->device + 2));
	if (flags != CALLS_AT)
		return flags != CALLS_OFF;
	/* How far behind the next available entry the device's mark is, in entries. */
	for (unsigned back = 1; back <= added; back++) {
		bool lap = back > pq->next_avail;
		unsigned index = pq->next_avail + (lap ? pq->num : 0) - back;

		if ((at & 0x7fff) == index && !(at & 0x8000) == (pq->avail_wrap == lap))
			return true;
	}
	return false;
}

bool pq_has_used(const struct pq *pq)
{
	uint16_t flags = atomic_load(flags_of(pq, pq->next_used));

	return !(flags & AVAIL) == !pq->used_wrap && !(flags & USED) == !pq->used_wrap;
}

bool pq_take_used(struct pq *pq, uint16_t *id, uint32_t *len)
{
	const uint8_t *p = ram_at(pq->ram, pq->desc + 16u * pq->next_used, 16);

	if (!pq_has_used(pq))
		return false;
	memcpy(len, p + 8, 4);
	memcpy(id, p + 12, 2);
	pq->next_used = (uint16_t)(pq->next_used + (*id < PQ_IDS ? pq->length[*id] : 1));
	if (pq->next_used >= pq->num) {
		pq->next_used = (uint16_t)(pq->next_used - pq->num);
		pq->used_wrap = !pq->used_wrap;
	}
	return true;
}

void pq_want_calls(struct pq *pq, bool event_idx, uint16_t later)
{
	uint16_t at = (uint16_t)(pq->next_used + later);
	bool wrap = pq->used_wrap;

	if (at >= pq->num) {
		at = (uint16_t)(at - pq->num);
		wrap = !wrap;
	}
	atomic_store(word(pq, pq->driver), (uint16_t)(at | (wrap ? 0x8000 : 0)));
	atomic_store(word(pq, pq->driver + 2), event_idx ? CALLS_AT : CALLS_ON);
	atomic_thread_fence(memory_order_seq_cst);
}

void pq_no_calls(struct pq *pq)
{
	atomic_store(word(pq, pq->driver + 2), CALLS_OFF);
}
