/*
 * Frames that go to a TAP interface together: see tap_batch.h.
 *
 * A TAP descriptor takes one frame per write and knows no sendmmsg; but an io_uring takes a batch
 * of writes in one call. It starts them one after the other, in the order they were given, and none
 * of them waits (RWF_NOWAIT): what there is no room for comes back at once. So when the call is
 * over, all of them are, and nothing is in flight between two calls.
 *
 * The TAP descriptors of older kernels, as 6.1, know no RWF_NOWAIT (FMODE_NOWAIT), and say so.
 * There O_NONBLOCK has to do: what there is no room for then waits in the ring, and is cancelled at
 * once.
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
	bool no_nowait;	   /* the descriptor knows no RWF_NOWAIT */
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

/* Returns how many of the frames the kernel has taken over; none is done. */
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
		sqe->rw_flags = batch->no_nowait ? 0 : RWF_NOWAIT;
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

#define THE_CANCEL FRAMES /* as user_data, what is no frame's number */

/* Has what waits for room come back. Returns how many answers there will be to that itself. */
static unsigned cancel_waiting(struct tap_batch *batch)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&batch->ring);

	if (!sqe)
		return 0;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	sqe->user_data = THE_CANCEL;
	return io_uring_submit(&batch->ring) > 0;
}

static void note_result(struct tap_batch *batch, const struct io_uring_cqe *cqe,
			struct packet_lost *lost)
{
	struct frame *frame;

	if (cqe->user_data >= FRAMES)
		return;
	frame = &batch->frames[cqe->user_data];
	/* nothing was done then, for none of them */
	if (cqe->res == -EOPNOTSUPP && !batch->no_nowait)
		return;
	frame->done = true;
	if (cqe->res < 0)
		lose(frame, lost);
}

/* Returns false if something is wrong with the ring. */
static bool collect(struct tap_batch *batch, unsigned taken, struct packet_lost *lost)
{
	bool cancelled = !batch->no_nowait; /* it is not needed */
	struct io_uring_cqe *cqe;

	while (taken) {
		int error = io_uring_peek_cqe(&batch->ring, &cqe);

		if (error == -EAGAIN && !cancelled) {
			taken += cancel_waiting(batch);
			cancelled = true;
		}
		if (error)
			error = io_uring_wait_cqe(&batch->ring, &cqe);
		if (error == -EINTR || error == -EAGAIN)
			continue;
		if (error < 0)
			return false;
		note_result(batch, cqe, lost);
		io_uring_cqe_seen(&batch->ring, cqe);
		taken--;
	}
	return true;
}

/* Returns whether none of the frames is done. */
static bool none_done(const struct tap_batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		if (batch->frames[i].done)
			return false;
	return true;
}

static void send_together(struct tap_batch *batch, struct packet_lost *lost)
{
	unsigned taken = submit(batch);
	bool good = collect(batch, taken, lost);

	if (!good || taken < batch->count) {
		give_up(batch);
	} else if (none_done(batch)) {
		if (batch->no_nowait) {
			give_up(batch);
			return;
		}
		batch->no_nowait = true;
		send_together(batch, lost);
	}
}

struct packet_lost tap_batch_send(struct tap_batch *batch)
{
	struct packet_lost lost = {0};

	if (batch->count > 1) /* one frame goes quicker by itself */
		send_together(batch, &lost);
	write_alone(batch, &lost);
	batch->count = 0;
	return lost;
}
