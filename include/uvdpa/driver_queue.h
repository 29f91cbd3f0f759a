/*
 * Memory and queues of libuvdpa-driver; included by <uvdpa/driver.h>, whose conventions hold.
 *
 * Neither belongs to a connection: an arena is mapped into a device, a queue is attached to
 * one, and both can go on to the next with everything that is in flight.
 */
#ifndef UVDPA_DRIVER_QUEUE_H
#define UVDPA_DRIVER_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvdpa_error;

/* Memory ------------------------------------------------------------------------------------ */

enum uvdpa_memory_kind {
	UVDPA_MEMORY_SHARED,  /* a memfd: what a device in another process can map */
	UVDPA_MEMORY_PRIVATE, /* private anonymous memory, as QEMU's RAM is by default */
};

struct uvdpa_memory_options {
	size_t size; /* rounded up to whole pages */
	enum uvdpa_memory_kind kind;
	/*
	 * The device's address of the first byte, a multiple of the page size. 0 chooses 4 GiB + 64
	 * KiB: deliberately not the process's own address, so that mixing the two up fails at once.
	 */
	uint64_t iova;
};

/* One arena: rings and data, zeroed, at one place in the device's address space for good. */
struct uvdpa_memory;

/*
 * -EINVAL  size 0, an unknown kind, an unaligned or wrapping iova
 * -ENOMEM  and other errors of memfd_create(2), ftruncate(2), mmap(2)
 */
int uvdpa_memory_new(const struct uvdpa_memory_options *options, struct uvdpa_memory **memory,
		     struct uvdpa_error *error);

/* Gives up the caller's reference; the memory goes with its last queue and mapping. */
void uvdpa_memory_free(struct uvdpa_memory *memory);

/*
 * Takes `size` bytes aligned to `align` (a power of two, at most a page). NULL if the arena is
 * full. The bytes are zero unless they were given back by uvdpa_memory_rewind() before.
 */
void *uvdpa_memory_alloc(struct uvdpa_memory *memory, size_t size, size_t align);

/* How many bytes are taken: a mark for uvdpa_memory_rewind(), which gives back everything since. */
size_t uvdpa_memory_mark(const struct uvdpa_memory *memory);
void uvdpa_memory_rewind(struct uvdpa_memory *memory, size_t mark);

void *uvdpa_memory_base(const struct uvdpa_memory *memory);
size_t uvdpa_memory_size(const struct uvdpa_memory *memory);
/* The memfd (still the arena's), or -1 for private memory. */
int uvdpa_memory_fd(const struct uvdpa_memory *memory);

/* The device's address of a byte of the arena (of its first byte: pass uvdpa_memory_base()). */
uint64_t uvdpa_memory_iova(const struct uvdpa_memory *memory, const void *ptr);
/* The process's address of `len` bytes at `iova`; NULL if they are not all in the arena. */
void *uvdpa_memory_ptr(const struct uvdpa_memory *memory, uint64_t iova, size_t len);

/* Queues ------------------------------------------------------------------------------------ */

struct uvdpa_queue_options {
	uint16_t size; /* 1 to 32768; of a split ring a power of two */
	uint32_t base; /* where it starts: see uvdpa_driver_attach(); 0: as on a virgin device */
	uint16_t indirect; /* room for this many segments in an indirect table; 0: none */
	/*
	 * The negotiated ones. RING_PACKED makes it a packed ring (virtio 2.8), else it is a split
	 * one (2.7); EVENT_IDX, INDIRECT_DESC and IN_ORDER matter, too.
	 */
	uint64_t features;
	/*
	 * How long uvdpa_queue_wait() looks for completions itself, at most, before it sleeps: us.
	 * 0: UVDPA_QUEUE_POLL_US; UVDPA_QUEUE_POLL_NEVER: it sleeps at once.
	 */
	uint32_t poll_us;
};

#define UVDPA_QUEUE_POLL_US    64u
#define UVDPA_QUEUE_POLL_NEVER UINT32_MAX

/*
 * A virtqueue as its driver sees it: rings in an arena, and, out of the device's reach, the free
 * descriptors and what is in flight. Two eventfds of its own carry kicks and calls.
 */
struct uvdpa_queue;

/*
 * Nothing is allocated after this. The queue keeps a reference to the arena.
 *
 * -EINVAL   bad size or base, or .indirect without VIRTIO_F_INDIRECT_DESC in .features
 * -ENOSPC   the arena is too small
 */
int uvdpa_queue_new(struct uvdpa_memory *memory, const struct uvdpa_queue_options *options,
		    struct uvdpa_queue **queue, struct uvdpa_error *error);

/* Detach it first (reset or close the driver); its ring memory stays taken in the arena. */
void uvdpa_queue_free(struct uvdpa_queue *queue);

/* A piece of a chain. */
struct uvdpa_segment {
	uint64_t iova;
	uint32_t len;
	uint32_t writable; /* non-zero: for the device to write */
};

/* Put the segments in an indirect table (virtio 2.7.5.3) and take one descriptor only. */
#define UVDPA_CHAIN_INDIRECT 1u

/*
 * Puts a chain of `count` segments into the ring without telling the device yet. Addresses, lengths
 * and the order of readable and writable ones are not judged: a test may send nonsense. `cookie`
 * comes back with the completion.
 *
 * >= 0     the chain's head: the first descriptor's number; packed: its id
 * -EINVAL  no segments, an unknown flag, or UVDPA_CHAIN_INDIRECT on a queue without .indirect
 * -E2BIG   more segments than the queue (or its indirect tables) can ever hold
 * -ENOSPC  not enough free descriptors at present: collect completions first
 * -EPROTO  the queue is broken: uvdpa_queue_error()
 */
int uvdpa_queue_add(struct uvdpa_queue *queue, const struct uvdpa_segment *segments, unsigned count,
		    unsigned flags, uint64_t cookie);

struct uvdpa_chain {
	const struct uvdpa_segment *segments;
	unsigned count, flags; /* of segments; as for uvdpa_queue_add() */
	uint64_t cookie;
};

/*
 * Puts `count` chains into the ring and sends them, with what was added before: one store, and one
 * kick at most. Returns how many were put there, from the first on; if there is room for none, or
 * the first one cannot be, what uvdpa_queue_add() says of it. Completions come back in arrays, too:
 * uvdpa_queue_poll().
 */
int uvdpa_queue_submit_chains(struct uvdpa_queue *queue, const struct uvdpa_chain *chains,
			      unsigned count);

/*
 * Shows all added chains to the device with one store: to the available index; packed: to the flags
 * of the first descriptor (virtio 2.8.21). Returns how many.
 */
unsigned uvdpa_queue_publish(struct uvdpa_queue *queue);

/*
 * Kicks if the device asked for it with respect to what was published since the last call
 * (VRING_USED_F_NO_NOTIFY, or the available event: virtio 2.7.10; packed: the device event
 * suppression area, 2.8.10). 1: kicked, 0: not wanted.
 */
int uvdpa_queue_kick(struct uvdpa_queue *queue);

/* Kicks whether it is wanted or not. From any thread. 0 or the error of write(2). */
int uvdpa_queue_kick_always(struct uvdpa_queue *queue);

/* uvdpa_queue_publish() and uvdpa_queue_kick(). Returns what the latter does. */
int uvdpa_queue_submit(struct uvdpa_queue *queue);

struct uvdpa_completion {
	uint64_t cookie;
	uint32_t written; /* bytes that the device says it wrote */
	uint16_t head;
};

/*
 * Collects up to `max` completions and frees their descriptors. With IN_ORDER, chains for which the
 * device wrote no used entry count as used in full (virtio 2.7.9). Returns their number, 0 if there
 * are none, -EPROTO if the ring holds nonsense: more used than was published, a
 * head that is out of range or not in flight, more bytes written than there was room for.
 * Completions before the nonsense are returned first. A broken queue stays so until
 * uvdpa_queue_restart().
 */
int uvdpa_queue_poll(struct uvdpa_queue *queue, struct uvdpa_completion *completions, unsigned max);

/*
 * Waits until there is something to poll, `timeout` ms or, if that is negative, for ever. 1: there
 * is, 0: time over, -EPROTO: broken, -EINTR: a signal came while it slept, or another error of
 * ppoll(2). With a timeout of 0 it looks, and that is all.
 *
 * Where completions use to come soon it looks for them a while, without calls being asked for,
 * before it sleeps: up to .poll_us, as long as experience with this queue says that it helps. A
 * queue with nothing in flight, a slow device, or one that needs this processor, is not looked at.
 */
int uvdpa_queue_wait(struct uvdpa_queue *queue, int timeout);

/*
 * Asks the device to send calls (the default) or not to (VRING_AVAIL_F_NO_INTERRUPT, or a far
 * used event; packed: the driver event suppression area). A hint to the device only;
 * uvdpa_queue_wait() asks for them while it waits.
 */
void uvdpa_queue_want_calls(struct uvdpa_queue *queue, int wanted);

/* Reads the call eventfd to zero; returns what it held: the calls since it was last read. */
uint64_t uvdpa_queue_drain_calls(struct uvdpa_queue *queue);

/* The eventfds; they stay the queue's. */
int uvdpa_queue_kick_fd(const struct uvdpa_queue *queue);
int uvdpa_queue_call_fd(const struct uvdpa_queue *queue);

/* What broke a queue. */
enum uvdpa_queue_break {
	UVDPA_QUEUE_OK,
	UVDPA_QUEUE_USED_INDEX, /* more is used than was published, or the used index went back */
	UVDPA_QUEUE_HEAD_RANGE, /* a used entry names a descriptor that does not exist */
	UVDPA_QUEUE_NOT_IN_FLIGHT, /* a used entry names no chain in flight: done twice, perhaps */
	UVDPA_QUEUE_LENGTH,	   /* a used entry claims more bytes than the chain has room for */
};

enum uvdpa_queue_break uvdpa_queue_broken(const struct uvdpa_queue *queue);
/* NULL, or why the queue is broken: one line, with the numbers. */
const char *uvdpa_queue_error(const struct uvdpa_queue *queue);

uint16_t uvdpa_queue_size(const struct uvdpa_queue *queue);
/* 1: a packed ring, 0: a split one. */
int uvdpa_queue_is_packed(const struct uvdpa_queue *queue);
/* Chains added and not collected yet. */
unsigned uvdpa_queue_in_flight(const struct uvdpa_queue *queue);
/* Free descriptors. */
unsigned uvdpa_queue_free_descriptors(const struct uvdpa_queue *queue);

/*
 * Where a device has to continue, by the ring: the used index; packed: the position behind the last
 * used chain, in both halves. A base: see uvdpa_driver_attach(). A device that keeps clause S3
 * answers GET_VRING_BASE with it while suspended. From any thread, if the device is suspended.
 */
uint32_t uvdpa_queue_base(const struct uvdpa_queue *queue);

/*
 * Forgets what is in flight and starts anew at exactly `base`, with empty rings. -EBUSY while
 * attached, -EINVAL if this ring cannot start there with nothing in flight.
 */
int uvdpa_queue_restart(struct uvdpa_queue *queue, uint32_t base);

/* For checkers: the ring as it is in memory at this kind --------------------------------------
 */

/*
 * Of a packed ring an index is a position: the descriptor and, in bit 15, its wrap counter. Its
 * flags are VRING_PACKED_EVENT_FLAG_*, its events positions that hold with
 * VRING_PACKED_EVENT_FLAG_DESC.
 */
struct uvdpa_queue_view {
	uint16_t avail_idx;   /* in memory: what the device may take */
	uint16_t avail_flags; /* VRING_AVAIL_F_* */
	uint16_t used_event;  /* the driver's: meaningless without EVENT_IDX */
	uint16_t used_idx;    /* in memory, by the device */
	uint16_t used_flags;  /* VRING_USED_F_*, by the device */
	uint16_t avail_event; /* the device's: meaningless without EVENT_IDX */
	uint16_t last_used;   /* how far uvdpa_queue_poll() has come */
	uint16_t unpublished; /* chains added and not published */
};

void uvdpa_queue_debug_snapshot(const struct uvdpa_queue *queue, struct uvdpa_queue_view *view);

/*
 * The three areas (virtio 2.7; 2.8: descriptor ring, driver and device event suppression) for both
 * sides, to compare, watch or spoil.
 */
struct uvdpa_queue_areas {
	void *desc, *avail, *used;
	uint64_t desc_iova, avail_iova, used_iova;
	size_t desc_len, avail_len, used_len;
	void *indirect; /* size * .indirect descriptors: the table of head h starts at h * .indirect
			 */
	size_t indirect_len;
};

void uvdpa_queue_areas(const struct uvdpa_queue *queue, struct uvdpa_queue_areas *areas);

struct uvdpa_descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags,
		next; /* VRING_DESC_F_*, packed: with AVAIL and USED; packed: next is the id */
};

/* Descriptor `index` modulo the queue's size. */
void uvdpa_queue_descriptor(const struct uvdpa_queue *queue, uint16_t index,
			    struct uvdpa_descriptor *descriptor);
/* Entry of the available ring at `index` (not yet reduced modulo the size). Packed: 0. */
uint16_t uvdpa_queue_avail_entry(const struct uvdpa_queue *queue, uint16_t index);
/* Entry of the used ring at `index`, likewise. Packed: 0, 0. */
void uvdpa_queue_used_entry(const struct uvdpa_queue *queue, uint16_t index, uint32_t *id,
			    uint32_t *len);

#ifdef __cplusplus
}
#endif

#endif
