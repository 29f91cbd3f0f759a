/*
 * Words of an area that is not one mapped, aligned region: it lies in several of them, or has to
 * be copied, or both.
 *
 * An index is a word like any other to whoever copies memory: not whole (two bytes may be copied
 * one at a time), and in no order with what it covers. So a word that is mapped, wherever the rest
 * of its area is, is loaded (acquire) and stored (release) as in an area that is; and around one
 * that is copied there is a fence, since the kernel promises no order for what it copies.
 */
#include "ring/ring_internal.h"

/* The word at `iova`, if it is mapped. */
static _Atomic uint16_t *mapped16(const struct ring *ring, uint64_t iova, enum space_access access)
{
	struct segment s;

	if (space_translate(ring->space, iova, 2, access, &s, 1) != 1 || !s.host ||
	    (uintptr_t)s.host & 1)
		return NULL;
	return (_Atomic uint16_t *)(void *)s.host;
}

/* Copies the aligned word of four bytes that has the two, where it is all in the area. */
static int copy_load16(const struct ring *ring, const struct ring_area *area, uint64_t iova,
		       uint16_t *value)
{
	uint64_t aligned = iova & ~UINT64_C(3);
	uint8_t word[4];
	int r;

	if (iova & 1 || aligned < area->iova || aligned + 4 > area->iova + area->size)
		return space_read(ring->space, iova, value, sizeof(*value));
	r = space_read(ring->space, aligned, word, sizeof(word));
	*value = load_le16(word + (iova & 2));
	return r;
}

int ring_load16(const struct ring *ring, const struct ring_area *area, uint32_t offset,
		uint16_t *value)
{
	uint64_t iova = area->iova + offset;
	_Atomic uint16_t *mapped = mapped16(ring, iova, SPACE_READ);
	int r;

	if (mapped) {
		*value = atomic_load_explicit(mapped, memory_order_acquire);
		return 0;
	}
	r = copy_load16(ring, area, iova, value);
	atomic_thread_fence(memory_order_acquire);
	return r;
}

/*
 * On many processors the kernel copies two bytes one by one: a driver that looks in between sees an
 * index that never was. Aligned words of four bytes are stored whole. The upper halves that are
 * stored here (the used index, a packed descriptor's flags, the event flags) share their word with
 * what is ours as well, so the word can be written back. A torn avail event does no harm: the
 * driver's entry is seen when the ring is looked at once more after arming.
 */
static int copy_store16(const struct ring *ring, uint64_t iova, const uint16_t *lower,
			uint16_t value)
{
	uint8_t word[4];

	store_le16(word + 2, value);
	if ((iova & 3) != 2)
		return space_write(ring->space, iova, word + 2, 2);
	if (lower)
		store_le16(word, *lower);
	else if (space_read(ring->space, iova - 2, word, 2) < 0)
		return space_write(ring->space, iova, word + 2, 2);
	return space_write(ring->space, iova - 2, word, sizeof(word));
}

int ring_store16(const struct ring *ring, const struct ring_area *area, uint32_t offset,
		 const uint16_t *lower, uint16_t value)
{
	uint64_t iova = area->iova + offset;
	_Atomic uint16_t *mapped = mapped16(ring, iova, SPACE_WRITE);

	if (mapped) {
		atomic_store_explicit(mapped, value, memory_order_release);
	} else {
		atomic_thread_fence(memory_order_release);
		if (copy_store16(ring, iova, lower, value) < 0)
			return -EFAULT;
	}
	area_mark(ring, area, offset, sizeof(value));
	return 0;
}
