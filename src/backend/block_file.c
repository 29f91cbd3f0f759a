/*
 * The file block backend: I/O on a regular file or block device with io_uring.
 *
 * Theory of operation
 * -------------------
 * A channel is one ring. submit() prepares entries; kick() hands what there is
 * to the kernel with one system call; poll() reaps. A disk that has little to do
 * does not wait for the end of a large batch: submit() hands over, too, as soon
 * as there is a quarter of what the kernel has.
 *
 * Nothing here blocks the worker, which has to stay ready for a suspend (S10):
 * a buffered write that may have to wait goes to the kernel's own threads, even
 * if a plain pwrite would mostly be quicker. A file on a tmpfs has no device to wait
 * for, but no way to say so either (FMODE_NOWAIT), and every request would go to
 * those threads: there, what is small is done in submit(), by a plain call.
 *
 * A request takes one or more steps; its state is in request->backend[]:
 *
 *     TRANSFER  read or write. Short ones are repeated for the rest (PROGRESS
 *               bytes are done, SLICE is the rest of the iov).
 *     PUNCH     fallocate PUNCH_HOLE: discard, and zeroes that may deallocate
 *     RANGE     fallocate ZERO_RANGE: zeroes that may not, or where PUNCH failed
 *     ZEROES    writes of zeroes, where neither works
 *     SYNC      fdatasync: flush, and after what could not carry RWF_DSYNC
 *
 * Steps that find the submission queue full wait in `waiting`. At most `depth`
 * requests (each with one step) and one cancellation are with the kernel, and
 * the completion queue has room for them all: it never overflows.
 *
 * With iopoll=on there is a second ring, of polled requests: short reads and writes that need not
 * be durable at once. The disk does not interrupt for them, the channel's fd says nothing, and
 * poll() asks the disk, with one system call; until they are back the channel is `silent`, and its
 * worker does not sleep. All else goes through the first ring.
 *
 * With fixed-buffers=on the memory of requests is registered (block_file_buffers.h): the number of
 * the buffer that a transfer lies in is found at submit(), and good until the request is done.
 *
 * Reading beyond the end of a regular file that somebody else truncated gives
 * zeroes, as a hole does.
 */
#include "backend/block_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block_file_buffers.h"
#include "backend/block_file_ring.h"
#include "backend/iov.h"

enum { PROGRESS, SLICE, STATE }; /* request->backend[] */
/* Low byte of STATE; above it retries are counted, and the upper half is a registered buffer. */
enum { STEP_TRANSFER, STEP_PUNCH, STEP_RANGE, STEP_ZEROES, STEP_SYNC };

#define STEP_MASK      0xffull
#define RETRY_ONE      0x100ull
#define RETRY_MAX      256
#define RETRIES(state) ((uint32_t)(state) / RETRY_ONE)
#define BUFFER(state)  ((unsigned)((state) >> 32)) /* 0: none, else one more than its number */
#define POLLED_IOV     16			   /* pieces of a polled request */
#define NOW_MAX	       (64 * 1024)		   /* some microseconds of copying */
/* What one write of zeroes covers: ZERO_COUNT times the same zero bytes. */
#define ZERO_SIZE  (64 * 1024)
#define ZERO_COUNT 16

struct file_channel {
	struct block_channel channel;
	struct file_ring ring;
	struct file_ring *polled;		      /* for what can be polled; NULL: nothing is */
	struct file_buffers *buffers;		      /* NULL: none are registered */
	struct block_request *waiting, **waiting_end; /* no submission entry yet */
	unsigned finished;			      /* requests; counts up */
	bool cancelling, cancel_due;		      /* due: the kernel was not asked yet */
	bool no_dsync, no_punch, no_zero_range, no_polling; /* the file's, as it turned out */
};

static _Alignas(64 * 1024) uint8_t zeroes[ZERO_SIZE];
#define Z                         \
	{                         \
		zeroes, ZERO_SIZE \
	}
#define Z4 Z, Z, Z, Z
static const struct iovec zero_iov[ZERO_COUNT] = {Z4, Z4, Z4, Z4};
#undef Z4
#undef Z

static void prepare(struct file_channel *ch, struct block_request *request);
static void finish(struct file_channel *ch, struct block_request *request, int error);

static struct file_block *file_of(const struct file_channel *ch)
{
	return (struct file_block *)ch->channel.block;
}

static int open_polled(struct file_channel *ch, int fd, unsigned depth, struct error *f)
{
	int error = 0;

	ch->polled = calloc(1, sizeof(*ch->polled));
	if (!ch->polled)
		return error_set(f, -ENOMEM, "no memory for polling");
	error = file_ring_open(ch->polled, fd, -1, depth, FILE_RING_POLLED, f);
	if (error)
		free(ch->polled);
	return error;
}

static int file_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
			     struct error *f)
{
	struct file_block *file = (struct file_block *)block;
	struct file_channel *ch = calloc(1, sizeof(*ch));
	int error;

	if (!ch)
		return error_set(f, -ENOMEM, "no memory for a channel of %s", file->path);
	error = file_ring_open(&ch->ring, file->fd, file->lifetime[1], depth,
			       file->sqpoll ? FILE_RING_SQPOLL : FILE_RING_PLAIN, f);
	if (!error && file->iopoll) {
		error = open_polled(ch, file->fd, depth, f);
		if (error)
			file_ring_close(&ch->ring);
	}
	if (error) {
		free(ch);
		return error;
	}
	if (file->fixed_buffers)
		ch->buffers = file_buffers_new(file, ch->polled ? ch->polled : &ch->ring);
	ch->waiting_end = &ch->waiting;
	*channel = &ch->channel;
	return 0;
}

static void file_channel_close(struct block_channel *channel)
{
	struct file_channel *ch = (struct file_channel *)channel;

	assert(!ch->waiting); /* the answer to a cancellation may still be there */
	if (ch->polled)
		file_ring_close(ch->polled);
	free(ch->polled);
	file_buffers_free(ch->buffers);
	if (!file_ring_close(&ch->ring))
		file_of(ch)->lifetime_bound = true;
	free(ch);
}

static void hand_over(struct file_channel *ch)
{
	if (ch->polled)
		file_ring_hand_over(ch->polled);
	file_ring_hand_over(&ch->ring);
}

/*
 * What may wait for a flush of the disk's cache, and all that is no transfer, cannot be polled; nor
 * what the disk may have to split (see find_polled_max).
 */
static bool can_poll(const struct file_channel *ch, const struct block_request *request)
{
	uint64_t max = file_of(ch)->polled_max, last = request->offset + request->length - 1;

	return ch->polled && !ch->no_polling && !request->durable &&
	       (request->backend[STATE] & STEP_MASK) == STEP_TRANSFER &&
	       request->iov_count <= POLLED_IOV && request->offset / max == last / max;
}

static void later(struct file_channel *ch, struct block_request *request)
{
	request->next = NULL;
	*ch->waiting_end = request;
	ch->waiting_end = &request->next;
}

static void retry_waiting(struct file_channel *ch)
{
	struct block_request *request = ch->waiting;

	ch->waiting = NULL;
	ch->waiting_end = &ch->waiting;
	while (request) {
		struct block_request *next = request->next;

		if (ch->cancelling)
			finish(ch, request, -ECANCELED);
		else
			prepare(ch, request);
		request = next;
	}
}

static int write_flags(const struct file_channel *ch, const struct block_request *request)
{
	return request->durable && !ch->no_dsync ? RWF_DSYNC : 0;
}

static void prepare_transfer(struct file_channel *ch, struct io_uring_sqe *sqe,
			     const struct block_request *request, unsigned buffer)
{
	uint64_t offset = request->offset + request->backend[PROGRESS];
	const struct iovec *iov = request->iov;
	unsigned count = request->iov_count;

	if (request->backend[SLICE]) {
		struct iovec *slice = (struct iovec *)(uintptr_t)request->backend[SLICE];

		count = iov_slice(slice, iov, count, request->backend[PROGRESS], UINT64_MAX);
		iov = slice;
	}
	if (request->op == BLOCK_READ)
		io_uring_prep_readv2(sqe, 0, iov, count, offset, 0);
	else
		io_uring_prep_writev2(sqe, 0, iov, count, offset, write_flags(ch, request));
	if (count == 1 && iov->iov_len <= UINT32_MAX) { /* cheaper: the kernel copies no list */
		sqe->opcode = request->op == BLOCK_READ ? IORING_OP_READ : IORING_OP_WRITE;
		sqe->addr = (uintptr_t)iov->iov_base;
		sqe->len = (uint32_t)iov->iov_len;
	}
	if (buffer) { /* cheaper still: its pages are at hand */
		sqe->opcode =
			request->op == BLOCK_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
		sqe->buf_index = (uint16_t)(buffer - 1);
	}
}

static void prepare_zeroes(struct file_channel *ch, struct io_uring_sqe *sqe,
			   const struct block_request *request)
{
	uint64_t offset = request->offset + request->backend[PROGRESS];
	uint64_t left = request->length - request->backend[PROGRESS];
	unsigned count = left / ZERO_SIZE > ZERO_COUNT ? ZERO_COUNT : (unsigned)(left / ZERO_SIZE);

	if (count)
		io_uring_prep_writev2(sqe, 0, zero_iov, count, offset, 0);
	else
		io_uring_prep_write(sqe, 0, zeroes, (unsigned)left, offset);
	sqe->rw_flags = write_flags(ch, request);
}

static void prepare_allocate(struct io_uring_sqe *sqe, const struct block_request *request, int how)
{
	io_uring_prep_fallocate(sqe, 0, how | FALLOC_FL_KEEP_SIZE, (off_t)request->offset,
				(off_t)request->length);
}

static void prepare(struct file_channel *ch, struct block_request *request)
{
	struct file_ring *ring = can_poll(ch, request) ? ch->polled : &ch->ring;
	struct io_uring_sqe *sqe = file_ring_entry(ring);

	if (!sqe) {
		later(ch, request);
		return;
	}
	switch (request->backend[STATE] & STEP_MASK) {
	case STEP_TRANSFER:
		prepare_transfer(ch, sqe, request,
				 ch->buffers && ring == file_buffers_ring(ch->buffers)
					 ? BUFFER(request->backend[STATE])
					 : 0);
		break;
	case STEP_PUNCH:
		prepare_allocate(sqe, request, FALLOC_FL_PUNCH_HOLE);
		break;
	case STEP_RANGE:
		prepare_allocate(sqe, request, FALLOC_FL_ZERO_RANGE);
		break;
	case STEP_ZEROES:
		prepare_zeroes(ch, sqe, request);
		break;
	case STEP_SYNC:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	}
	file_ring_name_file(ring, sqe);
	io_uring_sqe_set_data(sqe, request);
}

static unsigned first_step(const struct file_channel *ch, const struct block_request *request)
{
	switch (request->op) {
	case BLOCK_FLUSH:
		return STEP_SYNC;
	case BLOCK_DISCARD:
		return STEP_PUNCH;
	case BLOCK_WRITE_ZEROES:
		if (request->unmap && !ch->no_punch)
			return STEP_PUNCH;
		return ch->no_zero_range ? STEP_ZEROES : STEP_RANGE;
	default:
		return STEP_TRANSFER;
	}
}

/* Whether the request was done at once. What comes off in part, or not, is tried the long way. */
static bool transfer_now(struct file_channel *ch, struct block_request *request)
{
	const struct file_block *file = file_of(ch);
	ssize_t done;

	if (!file->in_memory || request->length > NOW_MAX || request->durable)
		return false;
	if (request->op == BLOCK_READ)
		done = preadv(file->fd, request->iov, (int)request->iov_count,
			      (off_t)request->offset);
	else if (request->op == BLOCK_WRITE)
		done = pwritev(file->fd, request->iov, (int)request->iov_count,
			       (off_t)request->offset);
	else
		return false;
	return done >= 0 && (uint64_t)done == request->length;
}

static void file_submit(struct block_channel *channel, struct block_request *request)
{
	struct file_channel *ch = (struct file_channel *)channel;

	ch->cancelling = ch->cancel_due = false;
	request->backend[PROGRESS] = 0;
	request->backend[SLICE] = 0;
	request->backend[STATE] = first_step(ch, request);
	if (transfer_now(ch, request)) {
		finish(ch, request, 0);
	} else {
		if (ch->buffers && request->memory.id)
			request->backend[STATE] |= (uint64_t)file_buffers_find(ch->buffers, request)
						   << 32;
		prepare(ch, request);
	}
	if (file_ring_is_enough(ch->polled ? ch->polled : &ch->ring))
		hand_over(ch);
}

static void finish(struct file_channel *ch, struct block_request *request, int error)
{
	free((void *)(uintptr_t)request->backend[SLICE]);
	ch->finished++;
	block_done(&ch->channel, request, error);
}

/* Another round of the same step, unless it goes in circles or nobody wants it any more. */
static void again(struct file_channel *ch, struct block_request *request, int error)
{
	request->backend[STATE] += RETRY_ONE;
	if (ch->cancelling)
		finish(ch, request, -ECANCELED);
	else if (RETRIES(request->backend[STATE]) >= RETRY_MAX)
		finish(ch, request, error);
	else
		prepare(ch, request);
}

static void next_step(struct file_channel *ch, struct block_request *request, unsigned step)
{
	request->backend[STATE] = step;
	if (ch->cancelling)
		finish(ch, request, -ECANCELED);
	else
		prepare(ch, request);
}

/* The operation is done: is it also on stable storage, if that was asked for? */
static void changed(struct file_channel *ch, struct block_request *request, bool synced)
{
	if (request->durable && !synced)
		next_step(ch, request, STEP_SYNC);
	else
		finish(ch, request, 0);
}

/* Part of a read or write is done: go on with the rest. */
static void transfer_rest(struct file_channel *ch, struct block_request *request, uint64_t done)
{
	request->backend[STATE] &= STEP_MASK; /* progress: retries begin anew */
	request->backend[PROGRESS] += done;
	if (!request->backend[SLICE])
		request->backend[SLICE] =
			(uintptr_t)malloc(request->iov_count * sizeof(struct iovec));
	if (request->backend[SLICE])
		again(ch, request, -EIO);
	else
		finish(ch, request, -EIO);
}

static void read_result(struct file_channel *ch, struct block_request *request, uint64_t done)
{
	const struct file_block *file = file_of(ch);
	uint64_t total = request->backend[PROGRESS] + done;
	bool end =
		done == 0 || (total < request->length && file->direct && total % file->direct_size);

	if (total >= request->length) {
		finish(ch, request, 0);
	} else if (!end) {
		transfer_rest(ch, request, done);
	} else if (file->regular) {
		file_note_end(file_of(ch));
		iov_zero(request->iov, request->iov_count, total);
		finish(ch, request, 0);
	} else {
		finish(ch, request, -EIO);
	}
}

static void write_result(struct file_channel *ch, struct block_request *request, uint64_t done)
{
	if (request->backend[PROGRESS] + done >= request->length)
		changed(ch, request, !ch->no_dsync);
	else if (done == 0)
		finish(ch, request, -EIO);
	else
		transfer_rest(ch, request, done);
}

static void zeroes_result(struct file_channel *ch, struct block_request *request, uint64_t done)
{
	request->backend[PROGRESS] += done;
	request->backend[STATE] = STEP_ZEROES;
	if (request->backend[PROGRESS] >= request->length)
		changed(ch, request, !ch->no_dsync);
	else if (done == 0)
		finish(ch, request, -EIO);
	else
		again(ch, request, -EIO);
}

/*
 * The file cannot punch or zero (EOPNOTSUPP), or not this range (EINVAL: part of a physical block
 * of a device): a discard may do nothing, zeroes are brought about in the next best way.
 */
static void allocate_refused(struct file_channel *ch, struct block_request *request, int error)
{
	bool punch = (request->backend[STATE] & STEP_MASK) == STEP_PUNCH;

	if (request->op == BLOCK_DISCARD) {
		finish(ch, request, 0);
		return;
	}
	if (error == -EOPNOTSUPP && punch)
		ch->no_punch = true;
	else if (error == -EOPNOTSUPP)
		ch->no_zero_range = true;
	next_step(ch, request, punch && !ch->no_zero_range ? STEP_RANGE : STEP_ZEROES);
}

static void failed(struct file_channel *ch, struct block_request *request, int error)
{
	unsigned step = request->backend[STATE] & STEP_MASK;
	bool refused = error == -EOPNOTSUPP || error == -EINVAL;
	bool writes = step == STEP_ZEROES || request->op == BLOCK_WRITE;

	if (error == -EINTR && ch->cancelling) {
		finish(ch, request, -ECANCELED);
	} else if (error == -EINTR || error == -EAGAIN) {
		again(ch, request, error);
	} else if (error == -EOPNOTSUPP && ch->polled && step == STEP_TRANSFER) {
		ch->no_polling = true; /* not all the disks that it consists of can */
		again(ch, request, error);
	} else if (refused && (step == STEP_PUNCH || step == STEP_RANGE)) {
		allocate_refused(ch, request, error);
	} else if (refused && step != STEP_SYNC && writes && request->durable && !ch->no_dsync) {
		ch->no_dsync = true; /* RWF_DSYNC is not known here: write, then fdatasync */
		again(ch, request, error);
	} else {
		finish(ch, request, error);
	}
}

/* One completion of the kernel: `result` is bytes or a negative errno. */
static void step_done(struct file_channel *ch, struct block_request *request, int result)
{
	unsigned step = request->backend[STATE] & STEP_MASK;

	if (result < 0)
		failed(ch, request, result);
	else if (step == STEP_SYNC)
		finish(ch, request, 0);
	else if (step == STEP_ZEROES)
		zeroes_result(ch, request, (unsigned)result);
	else if (step == STEP_PUNCH || step == STEP_RANGE)
		changed(ch, request, false);
	else if (request->op == BLOCK_READ)
		read_result(ch, request, (unsigned)result);
	else
		write_result(ch, request, (unsigned)result);
}

static void file_kick(struct block_channel *channel)
{
	struct file_channel *ch = (struct file_channel *)channel;

	if (ch->waiting)
		retry_waiting(ch);
	hand_over(ch);
}

/* At most one round over the completion queue, so that a chatty ring cannot keep the worker. */
static void reap(struct file_channel *ch, struct file_ring *ring)
{
	unsigned limit = ring->in_kernel;
	void *request;
	int result;

	for (unsigned i = 0; i < limit && file_ring_reap(ring, &request, &result); i++)
		if (request) /* else: the answer to a cancellation */
			step_done(ch, request, result);
}

/*
 * Ends what the kernel has not begun; what it is doing ends by itself, and takes no further step.
 * What is polled is with the disk already.
 */
static void ask_to_cancel(struct file_channel *ch)
{
	struct io_uring_sqe *sqe;

	hand_over(ch);
	sqe = file_ring_entry(&ch->ring);
	if (!sqe)
		return;
	ch->cancel_due = false;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	io_uring_sqe_set_data(sqe, NULL);
	hand_over(ch);
}

static unsigned file_poll(struct block_channel *channel)
{
	struct file_channel *ch = (struct file_channel *)channel;
	unsigned finished = ch->finished;

	if (ch->cancel_due)
		ask_to_cancel(ch);
	if (ch->buffers)
		file_buffers_release(ch->buffers);
	if (ch->polled)
		reap(ch, ch->polled);
	reap(ch, &ch->ring);
	file_kick(channel);
	return ch->finished - finished;
}

static int file_fd(struct block_channel *channel)
{
	return file_ring_fd(&((struct file_channel *)channel)->ring);
}

static bool file_fd_edge(const struct block_channel *channel)
{
	return ((const struct file_channel *)channel)->ring.cq_eventfd >= 0;
}

static bool file_needs_poll(const struct block_channel *channel)
{
	const struct file_channel *ch = (const struct file_channel *)channel;
	const struct file_ring *polled = ch->polled;

	return file_ring_needs_poll(&ch->ring, ch->waiting) ||
	       (polled && polled->in_kernel + polled->unsubmitted);
}

/* Called by control, who is not the ring's issuer: it is the next poll that asks the kernel. */
static void file_cancel(struct block_channel *channel)
{
	struct file_channel *ch = (struct file_channel *)channel;

	ch->cancelling = ch->cancel_due = true;
}

static void file_region_invalidated(struct block_channel *channel, uint64_t id)
{
	struct file_channel *ch = (struct file_channel *)channel;

	if (ch->buffers)
		file_buffers_gone(ch->buffers, id);
}

const struct block_ops file_ops = {
	.name = "file",
	.channel_open = file_channel_open,
	.channel_close = file_channel_close,
	.submit = file_submit,
	.close = file_close,
	.kick = file_kick,
	.poll = file_poll,
	.fd = file_fd,
	.fd_edge = file_fd_edge,
	.needs_poll = file_needs_poll,
	.cancel = file_cancel,
	.region_invalidated = file_region_invalidated,
	.resize = file_resize,
	.activate = file_activate,
	.inactivate = file_inactivate,
};
