/*
 * Fuzz target: a device's worth of virtio-blk requests, of any content and cut.
 *
 * Checked, besides what sanitizers see: every request gets exactly one answer,
 * the used length fits, the status is one that virtio knows, and on a disk
 * that does not fail, what is read is what was written (a shadow of the disk
 * is kept by rules written down here a second time).
 *
 * An input is: a byte of device options, a byte of backend trouble, then per
 * request a byte with the numbers of its segments, two bytes per segment (its
 * size, bit 15: copied), and the content of its readable part.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <linux/virtio_blk.h>

#include "../unit/model_support.h"
#include "backend/backends.h"
#include "model/blk.h"
#include "model/models.h"
#include "util/bytes.h"

#define DISK	     (1u << 20)
#define SECTORS	     (DISK / 512)
#define MAX_REQUESTS 8

/* Bits of the first byte. */
enum { READ_ONLY = 1, NO_DISCARD = 2, WRITE_CACHE = 4, ALIGNED = 8, NO_FEATURES = 16 };
/* Bits of the second byte; without any, the disk is expected to be right. */
enum { FAILS = 1, TEARS = 2, UNSUPPORTED = 4, GONE = 8 };

static struct copied_client client;
static struct model *model;
static struct made made;
static uint8_t shadow[DISK], data[DISK];

static struct block *open_disk(uint8_t options, uint8_t trouble)
{
	struct block_fault_options err = {0};
	struct block *block, *wrapped;
	int error = block_memory_open(DISK, &block, NULL);

	assert(!error);
	if (trouble & (FAILS | TEARS | UNSUPPORTED | GONE)) {
		err.fail_every = trouble & (FAILS | UNSUPPORTED | GONE) ? 3 : 0;
		err.fail_error = trouble & UNSUPPORTED ? EOPNOTSUPP : trouble & GONE ? EFAULT : EIO;
		err.tear_every = trouble & TEARS ? 2 : 0;
		error = block_fault_open(&err, block, &wrapped, NULL);
		assert(!error);
		block = wrapped;
	}
	block->limits.read_only = options & READ_ONLY;
	block->limits.discard = !(options & NO_DISCARD);
	block->limits.memory_alignment = options & ALIGNED ? 512 : 1;
	(void)error;
	return block;
}

static void make_request(struct food *food)
{
	uint8_t counts = eat_byte(food), chunk[64];
	uint64_t at = 0;

	made_begin(&made, &client, model->ops->request_size);
	for (unsigned i = 0; i < (counts & 7u) + (counts >> 3 & 7u); i++) {
		uint16_t size = eat_u16(food);

		made_add(&made, &client, i >= (counts & 7u), (size & 0x7fffu) + 1, size >> 15);
	}
	for (; food->left && at < made.request->chain.readable; at += sizeof(chunk)) {
		uint64_t rest = made.request->chain.readable - at;
		size_t n = rest < sizeof(chunk) ? (size_t)rest : sizeof(chunk);

		eat(food, chunk, n);
		made_fill(&made, &client, at, chunk, n);
	}
}

/* Copies from the readable part without the code that is tested. */
static void peek(uint64_t offset, uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = *made_byte(&made, &client, false, offset + i);
}

static void zero_shadow(uint64_t ranges)
{
	uint8_t range[16];

	for (uint64_t i = 0; i < ranges; i++) {
		peek(16 + i * 16, range, 16);
		assert(load_le64(range) <= SECTORS);
		assert(load_le32(range + 8) <= SECTORS - load_le64(range));
		memset(shadow + load_le64(range) * 512, 0, load_le32(range + 8) * 512ull);
	}
}

/* A request was answered with OK: it was right to do so, and did what it says. */
static void check_done(uint32_t type, uint64_t sector, bool trusted)
{
	const struct chain *chain = &made.request->chain;
	uint64_t out = chain->readable - 16, in = chain->writable - 1;

	switch (type) {
	case VIRTIO_BLK_T_IN:
		assert(in % 512 == 0 && sector <= SECTORS && in / 512 <= SECTORS - sector);
		assert(made.written == in + 1);
		made_fetch(&made, &client, 0, data, in);
		assert(!trusted || !memcmp(data, shadow + sector * 512, in));
		break;
	case VIRTIO_BLK_T_OUT:
		assert(out % 512 == 0 && sector <= SECTORS && out / 512 <= SECTORS - sector);
		peek(16, shadow + sector * 512, out);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		assert(out % 16 == 0 && out > 0);
		zero_shadow(out / 16);
		break;
	case VIRTIO_BLK_T_GET_ID:
		assert(made.written == (in == 20 ? 21u : 20u));
		break;
	default:
		assert(type == VIRTIO_BLK_T_FLUSH);
	}
}

static void check(uint8_t options, bool trusted)
{
	const struct chain *chain = &made.request->chain;
	uint8_t header[16], status;

	assert(made.answers + made.refusals == 1);
	if (made.refusals) {
		assert(made.why && (!trusted || chain->readable < 16 || !chain->writable));
		return;
	}
	assert(made.written <= chain->writable);
	status = *made_byte(&made, &client, true, chain->writable - 1);
	assert(status <= VIRTIO_BLK_S_UNSUPP);
	assert(!status || made.written == (chain->writable == 1));
	peek(0, header, 16);
	assert(status || !(options & READ_ONLY) || load_le32(header) != VIRTIO_BLK_T_OUT);
	if (status == VIRTIO_BLK_S_OK)
		check_done(load_le32(header), load_le64(header + 8), trusted);
}

static void run_request(struct food *food, uint8_t options, bool trusted)
{
	make_request(food);
	model->ops->handle(model, made.request);
	model->ops->batch_end(model, 0);
	model->ops->poll(model, 0);
	check(options, trusted);
	made_end(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct food food = {bytes, size};
	uint8_t options = eat_byte(&food), trouble = eat_byte(&food) & 15;
	struct blk_options blk = {
		.queues = 1, .serial = "fuzz", .write_cache = options & WRITE_CACHE};
	int error = blk_new(&blk, open_disk(options, trouble), &model, NULL);

	assert(!error);
	if (!client.bytes)
		client_open(&client);
	memset(shadow, 0, sizeof(shadow));
	model->ops->negotiated(model, options & NO_FEATURES ? 0 : model->ops->features(model));
	error = model->ops->queue_start(model, 0, 1, NULL);
	assert(!error);
	for (unsigned i = 0; i < MAX_REQUESTS && food.left; i++)
		run_request(&food, options, !trouble);
	model->ops->queue_stop(model, 0);
	model->ops->destroy(model);
	(void)error;
	return 0;
}
