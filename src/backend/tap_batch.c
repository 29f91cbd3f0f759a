/*
 * Frames that go to a TAP interface together: see tap_batch.h.
 *
 * A TAP descriptor takes one frame per write and knows no sendmmsg; but an io_uring takes a batch
 * of writes in one call. It starts them one after the other, in the order they were given, and none
 * of them waits, since the descriptor does not: what there is no room for comes back at once. So
 * when the call is over, all of them are, and nothing is in flight between two calls.
 *
 * A ring that fails is given up: the rest of the batch, and all that come later, are written one by
 * one.
 */
#include "backend/tap_batch.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 32
#define PIECES 8 /* of a frame; those with more go by themselves */

struct frame {
	struct iovec iov[PIECES];
	uint8_t header[NET_HDR_SIZE];
	uint8_t count;
	bool done; /* whatever became of it */
};

struct tap_batch {
	struct io_uring ring;
	bool works, fixed; /* the ring does; it has the descriptor as its number 0 */
	int fd;
	unsigned count;
	struct frame frames[FRAMES];
};

struct tap_batch *tap_batch_new(int fd)
{
	struct tap_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	if (io_uring_queue_init(FRAMES, &batch->ring, 0) < 0) {
		free(batch);
		return NULL;
	}
	batch->works = true;
	batch->fixed = io_uring_register_files(&batch->ring, &fd, 1) == 0;
	batch->fd = fd;
	return batch;
}

static void give_up(struct tap_batch *batch)
{
	if (batch->works)
		io_uring_queue_exit(&batch->ring);
	batch->works = false;
}

void tap_batch_free(struct tap_batch *batch)
{
	if (!batch)
		return;
	give_up(batch);
	free(batch);
}

bool tap_batch_add(struct tap_batch *batch, const struct iovec *iov, unsigned count)
{
	struct frame *frame = &batch->frames[batch->count];

	if (batch->count == FRAMES || count > PIECES || !batch->works)
		return false;
	memcpy(frame->header, iov[0].iov_base, sizeof(frame->header));
	memcpy(frame->iov, iov, count * sizeof(*iov));
	frame->iov[0].iov_base = frame->header;
	frame->count = (uint8_t)count;
	frame->done = false;
	batch->count++;
	return true;
}

static void lose(const struct frame *frame, struct packet_lost *lost)
{
	lost->frames++;
	for (unsigned i = 1; i < frame->count; i++)
		lost->bytes += frame->iov[i].iov_len;
}

/* Writes what the ring has not done, one by one. */
static void write_alone(struct tap_batch *batch, struct packet_lost *lost)
{
	for (unsigned i = 0; i < batch->count; i++) {
		const struct frame *frame = &batch->frames[i];

		if (!frame->done && writev(batch->fd, frame->iov, frame->count) < 0)
			lose(frame, lost);
	}
}

/* Returns how many of the frames the kernel has taken over. */
static unsigned submit(struct tap_batch *batch)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < batch->count; i++) {
		const struct frame *frame = &batch->frames[i];
		struct io_uring_sqe *sqe = io_uring_get_sqe(&batch->ring);

		if (!sqe) /* there are as many as frames: somebody else has the ring */
			return 0;
		io_uring_prep_writev(sqe, batch->fixed ? 0 : batch->fd, frame->iov, frame->count,
				     0);
		sqe->flags = batch->fixed ? IOSQE_FIXED_FILE : 0;
		sqe->rw_flags = RWF_NOWAIT; /* O_NONBLOCK alone would have it wait for room */
		sqe->user_data = i;
	}
	while (taken < batch->count) {
		int n = io_uring_submit(&batch->ring);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		taken += (unsigned)n;
	}
	return taken;
}

/* A kernel whose descriptor knows no RWF_NOWAIT does nothing at all. */
static bool note_result(struct tap_batch *batch, const struct io_uring_cqe *cqe,
			struct packet_lost *lost)
{
	struct frame *frame = &batch->frames[cqe->user_data % FRAMES];

	if (cqe->res == -EOPNOTSUPP)
		return false;
	frame->done = true;
	if (cqe->res < 0)
		lose(frame, lost);
	return true;
}

/* Returns false if something is wrong with the ring. */
static bool collect(struct tap_batch *batch, unsigned taken, struct packet_lost *lost)
{
	struct io_uring_cqe *cqe;
	bool good = true;

	while (taken) {
		int error = io_uring_wait_cqe(&batch->ring, &cqe);

		if (error == -EINTR || error == -EAGAIN)
			continue;
		if (error < 0)
			return false;
		good = note_result(batch, cqe, lost) && good;
		io_uring_cqe_seen(&batch->ring, cqe);
		taken--;
	}
	return good;
}

struct packet_lost tap_batch_send(struct tap_batch *batch)
{
	struct packet_lost lost = {0};

	if (batch->count > 1) { /* one frame goes quicker by itself */
		unsigned taken = submit(batch);
		bool good = collect(batch, taken, &lost);

		if (!good || taken < batch->count)
			give_up(batch);
	}
	write_alone(batch, &lost);
	batch->count = 0;
	return lost;
}
