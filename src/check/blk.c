/* Cases: block devices (virtio 5.2). Those that write need --scratch. */
#include "check/cases.h"

#include <errno.h>
#include <string.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>

/* One request at a time, beside the load: its own headers and buffers. */
struct single {
	struct rig rig;
	struct uvdpa_blk *blk;
	uint8_t *data;
	uint32_t block;
};

#define DATA_SIZE 65536

static void single_set_up(struct check *c, struct single *s)
{
	rig_set_up(c, &s->rig, &(struct rig_options){0});
	s->data = uvdpa_memory_alloc(s->rig.memory, DATA_SIZE, 512);
	if (!s->data || uvdpa_blk_new(s->rig.memory, s->rig.queue[0], 16, &s->blk, NULL) < 0)
		skip(c, "no room for requests");
	s->block = c->facts->block;
}

static bool offers(const struct single *s, unsigned bit)
{
	return s->rig.features >> bit & 1;
}

/* Sends what was put into the queue; the status byte or an error. */
static int finish(struct single *s, const char *what)
{
	int r;

	doing(s->rig.c, "%s", what);
	uvdpa_queue_publish(s->rig.queue[0]);
	rig_kick(&s->rig);
	r = uvdpa_blk_finish(s->blk, 1, (int)s->rig.c->options->patience);
	if (r < 0)
		broken(s->rig.c, "a request is answered", "%s: %s", what, answer(r));
	return r;
}

static int read_at(struct single *s, uint64_t sector, uint32_t len, const char *what)
{
	int r = uvdpa_blk_read(s->blk, sector, s->data, len, 1);

	if (r < 0)
		skip(s->rig.c, "%s: cannot be put into the ring: %s", what, answer(r));
	return finish(s, what);
}

static int write_at(struct single *s, uint64_t sector, uint32_t len, const char *what)
{
	int r = uvdpa_blk_write(s->blk, sector, s->data, len, 1);

	if (r < 0)
		skip(s->rig.c, "%s: cannot be put into the ring: %s", what, answer(r));
	return finish(s, what);
}

static void b01(struct check *c)
{
	struct single s;
	uint64_t last;

	single_set_up(c, &s);
	last = c->facts->capacity - s.block / 512;
	want(c, read_at(&s, 0, s.block, "a read of the first block"), 0,
	     "a read of the first block");
	want(c, read_at(&s, last, s.block, "a read of the last block"), 0,
	     "a read of the last block");
}

static void b02(struct check *c)
{
	uint64_t capacity = c->facts->capacity;
	struct single s;

	single_set_up(c, &s);
	memset(s.data, 0x77, DATA_SIZE);
	want(c, read_at(&s, capacity, s.block, "a read behind the end"), VIRTIO_BLK_S_IOERR,
	     "a read behind the end of the disk");
	want(c, read_at(&s, capacity - s.block / 512, 2 * s.block, "a read across the end"),
	     VIRTIO_BLK_S_IOERR, "a read across the end of the disk");
	want(c, read_at(&s, UINT64_MAX - 1, s.block, "a read at 2^64-2"), VIRTIO_BLK_S_IOERR,
	     "a read at sector 2^64-2");
	want(c, read_at(&s, 0, s.block, "a read of the first block"), 0,
	     "a read of the first block");
}

static void b03(struct check *c)
{
	struct single s;
	unsigned n = 0;

	single_set_up(c, &s);
	memset(s.data, 0xa5, 32);
	want(c, uvdpa_blk_get_id(s.blk, s.data, 1), 0, "putting GET_ID into the ring");
	want(c, finish(&s, "GET_ID"), 0, "GET_ID");
	for (n = 0; n < 20 && s.data[n]; n++)
		if (s.data[n] == 0xa5)
			broken(c, "GET_ID writes a string of up to 20 bytes",
			       "byte %u was not written", n);
	if (s.data[20] != 0xa5)
		broken(c, "GET_ID writes no more than 20 bytes", "byte 20 is 0x%02x", s.data[20]);
}

static void b04(struct check *c)
{
	const struct uvdpa_blk_request request = {.type = 0x4711, .cookie = 1};
	struct single s;
	int r;

	single_set_up(c, &s);
	want(c, uvdpa_blk_request(s.blk, &request), 0, "putting a request into the ring");
	r = finish(&s, "a request of unknown type");
	if (r == VIRTIO_BLK_S_IOERR)
		defined(c, "a request of unknown type answers IOERR (1), as the simulator does");
	else
		want(c, r, VIRTIO_BLK_S_UNSUPP, "a request of unknown type");
}

static void b05(struct check *c)
{
	struct single s;

	single_set_up(c, &s);
	if (!offers(&s, VIRTIO_BLK_F_FLUSH))
		skip(c, "the device does not offer VIRTIO_BLK_F_FLUSH");
	want(c, uvdpa_blk_flush(s.blk, 1), 0, "putting FLUSH into the ring");
	want(c, finish(&s, "FLUSH"), 0, "FLUSH");
}

static void b06(struct check *c)
{
	struct uvdpa_segment parts[4];
	struct uvdpa_blk_request request = {
		.type = VIRTIO_BLK_T_IN, .data = parts, .count = 4, .cookie = 1};
	uint32_t piece;
	struct single s;

	single_set_up(c, &s);
	if (offers(&s, VIRTIO_BLK_F_SEG_MAX) && c->facts->seg_max < 4)
		skip(c, "the device takes less than 4 segments");
	if (uvdpa_queue_size(s.rig.queue[0]) < 6)
		skip(c, "the queue has no room for a chain of 6 descriptors");
	if (c->facts->capacity < 4 * s.block / 512)
		skip(c, "the disk is too small");
	want(c, read_at(&s, 0, s.block, "a read of the first block"), 0,
	     "a read of the first block");
	memcpy(s.data + DATA_SIZE / 2, s.data, s.block);
	piece = s.block / 4;
	for (unsigned i = 0; i < 4; i++)
		parts[i] = (struct uvdpa_segment){
			uvdpa_memory_iova(s.rig.memory, s.data + 4096 + i * 2 * (size_t)piece),
			piece, 1};
	want(c, uvdpa_blk_request(s.blk, &request), 0, "putting a read in 4 pieces into the ring");
	want(c, finish(&s, "a read into 4 pieces"), 0, "a read into 4 pieces");
	for (unsigned i = 0; i < 4; i++)
		if (memcmp(s.data + 4096 + i * 2 * (size_t)piece,
			   s.data + DATA_SIZE / 2 + i * (size_t)piece, piece))
			broken(c, "a read into pieces returns what a read in one returns",
			       "piece %u differs", i);
}

/* Puts a chain that is no block request into the ring, and sees that the device lives. */
static void nonsense(struct check *c, const struct uvdpa_segment *segments, unsigned n,
		     struct single *s, const char *what)
{
	struct uvdpa_completion done;
	struct rig fresh;

	want(c, uvdpa_queue_add(s->rig.queue[0], segments, n, 0, 99) < 0, 0, "adding a chain");
	uvdpa_queue_publish(s->rig.queue[0]);
	rig_kick(&s->rig);
	if (uvdpa_queue_wait(s->rig.queue[0], 300) == 1)
		defined(c, "%s: completed with length %u", what,
			uvdpa_queue_poll(s->rig.queue[0], &done, 1) == 1 ? done.written : 0);
	else
		defined(c, "%s: not completed", what);
	load_check_canaries(&s->rig);
	uvdpa_driver_close(s->rig.drv);
	rig_set_up(c, &fresh, &(struct rig_options){0});
	load_must_run(&fresh, 4, "after a malformed request, close and open");
	uvdpa_driver_close(fresh.drv);
}

static void b07(struct check *c)
{
	struct single s;
	struct uvdpa_segment parts[2];

	single_set_up(c, &s);
	memset(s.data, 0, 64);
	parts[0] = (struct uvdpa_segment){uvdpa_memory_iova(s.rig.memory, s.data), 8, 0};
	parts[1] = (struct uvdpa_segment){uvdpa_memory_iova(s.rig.memory, s.data + 64), 1, 1};
	nonsense(c, parts, 2, &s, "a header of 8 bytes");
	single_set_up(c, &s);
	parts[0] = (struct uvdpa_segment){uvdpa_memory_iova(s.rig.memory, s.data), 16, 0};
	nonsense(c, parts, 1, &s, "a request without a status byte");
	single_set_up(c, &s);
	parts[0] = (struct uvdpa_segment){uvdpa_memory_iova(s.rig.memory, s.data), 16, 1};
	nonsense(c, parts, 1, &s, "a request without a header");
}

static void fill(struct single *s, uint8_t seed, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		s->data[i] = (uint8_t)(seed + i * 7);
}

static void b10(struct check *c)
{
	struct single s;
	uint32_t len;

	single_set_up(c, &s);
	len = 4 * s.block;
	if (c->facts->capacity < len / 512)
		skip(c, "the disk is too small");
	fill(&s, 3, len);
	want(c, write_at(&s, 0, len, "a write of 4 blocks"), 0, "a write of 4 blocks");
	memset(s.data, 0, len);
	want(c, read_at(&s, 0, len, "a read of 4 blocks"), 0, "a read of 4 blocks");
	for (uint32_t i = 0; i < len; i++)
		if (s.data[i] != (uint8_t)(3 + i * 7))
			broken(c, "a read returns what was written", "byte %u differs", i);
}

static void b11(struct check *c)
{
	struct single s;

	single_set_up(c, &s);
	if (!offers(&s, VIRTIO_BLK_F_WRITE_ZEROES))
		skip(c, "the device does not offer VIRTIO_BLK_F_WRITE_ZEROES");
	fill(&s, 5, s.block);
	want(c, write_at(&s, 0, s.block, "a write"), 0, "a write");
	want(c, uvdpa_blk_range(s.blk, VIRTIO_BLK_T_WRITE_ZEROES, 0, s.block / 512, 0, 1), 0,
	     "adding");
	want(c, finish(&s, "WRITE_ZEROES"), 0, "WRITE_ZEROES");
	want(c, read_at(&s, 0, s.block, "a read"), 0, "a read");
	for (uint32_t i = 0; i < s.block; i++)
		if (s.data[i])
			broken(c, "WRITE_ZEROES leaves zeroes", "byte %u is 0x%02x", i, s.data[i]);
}

static void b12(struct check *c)
{
	struct single s;
	int r;

	single_set_up(c, &s);
	if (!offers(&s, VIRTIO_BLK_F_DISCARD))
		skip(c, "the device does not offer VIRTIO_BLK_F_DISCARD");
	want(c, uvdpa_blk_range(s.blk, VIRTIO_BLK_T_DISCARD, 0, s.block / 512, 0, 1), 0, "adding");
	want(c, finish(&s, "DISCARD"), 0, "DISCARD");
	want(c, uvdpa_blk_range(s.blk, VIRTIO_BLK_T_DISCARD, c->facts->capacity, 8, 0, 1), 0,
	     "adding");
	r = finish(&s, "DISCARD behind the end");
	want(c, r, VIRTIO_BLK_S_IOERR, "DISCARD behind the end");
}

static void b13(struct check *c)
{
	struct single s;

	single_set_up(c, &s);
	fill(&s, 9, s.block);
	want(c, write_at(&s, c->facts->capacity, s.block, "a write behind the end"),
	     VIRTIO_BLK_S_IOERR, "a write behind the end of the disk");
	want(c,
	     write_at(&s, c->facts->capacity - s.block / 512, 2 * s.block,
		      "a write across the end"),
	     VIRTIO_BLK_S_IOERR, "a write across the end of the disk");
}

/* Reads a block of the load back, whole. */
static const uint8_t *read_back(struct single *s, unsigned block)
{
	want(s->rig.c, read_at(s, (uint64_t)block * (s->block / 512), s->block, "reading back"), 0,
	     "a read");
	return s->data;
}

/* Is it one whole write of the load (its number in every word)? Which one? */
static uint64_t pattern_of(struct check *c, const uint8_t *data, uint32_t len, unsigned block)
{
	uint64_t first = load_le64(data);

	for (uint32_t at = 0; at < len; at += 8)
		if (load_le64(data + at) != first)
			broken(c, "a write is done as a whole or not at all (S3)",
			       "block %u has request %llu at its start and %llu at byte %u", block,
			       (unsigned long long)first, (unsigned long long)load_le64(data + at),
			       at);
	return first;
}

/* Zeroes the load's blocks, one after the other. */
static void clear(struct single *s, unsigned blocks)
{
	memset(s->data, 0, s->block);
	for (unsigned b = 0; b < blocks; b++)
		want(s->rig.c, write_at(s, (uint64_t)b * (s->block / 512), s->block, "a write"), 0,
		     "a write");
}

static void ks36(struct check *c)
{
	struct rounds r;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		uint64_t acknowledged[64] = {0};
		struct single s;
		struct rig rig;
		unsigned blocks;

		single_set_up(c, &s);
		clear(&s, s.rig.load.blocks);
		uvdpa_driver_close(s.rig.drv);
		rig_set_up(c, &rig, &(struct rig_options){.writes = true, .size = 128});
		blocks = rig.load.blocks;
		load_burst(&rig, 300);
		rig_suspend(&rig);
		rig_see_behind(&rig, rig.work, rig_used(&rig, rig.work));
		load_collect(&rig);
		for (unsigned i = 0; i < LOAD_SLOTS; i++) {
			const struct load_slot *slot = &rig.load.slots[i];
			unsigned b = (unsigned)(slot->serial % blocks);

			if (slot->serial && !slot->busy && acknowledged[b] < slot->serial)
				acknowledged[b] = slot->serial;
		}
		uvdpa_driver_close(rig.drv);
		single_set_up(c, &s);
		for (unsigned b = 0; b < blocks; b++) {
			uint64_t pattern = pattern_of(c, read_back(&s, b), s.block, b);

			if (pattern < acknowledged[b])
				broken(c, "a write that is acknowledged is on the disk (S3)",
				       "block %u holds request %llu, request %llu was acknowledged",
				       b, (unsigned long long)pattern,
				       (unsigned long long)acknowledged[b]);
			if (pattern > acknowledged[b])
				broken(c,
				       "a write that is not acknowledged has not been taken (S3)",
				       "block %u holds request %llu, the last acknowledged is %llu",
				       b, (unsigned long long)pattern,
				       (unsigned long long)acknowledged[b]);
		}
		uvdpa_driver_close(s.rig.drv);
	}
}

static void b14(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.writes = true});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 200);
		rig_suspend(&rig);
		still_finished(&rig, "after SUSPEND amid writes");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick, amid writes");
	}
	rig.options.writes = false; /* now read: what was written last has to be there */
	load_must_run(&rig, rig.load.blocks < 16 ? rig.load.blocks : 16,
		      "reading what was written");
}

const struct check_case blk_cases[] = {
	{"B01", "blk", "virtio 5.2.6", "the first and the last block can be read", 'M',
	 NEED_BLK | NEED_LOAD, b01},
	{"B02", "blk", "virtio 5.2.6", "reads behind the end fail", 'M', NEED_BLK | NEED_LOAD, b02},
	{"B03", "blk", "virtio 5.2.6", "the id", 'M', NEED_BLK | NEED_LOAD, b03},
	{"B04", "blk", "virtio 5.2.6.2", "a request of unknown type", 'D', NEED_BLK | NEED_LOAD,
	 b04},
	{"B05", "blk", "virtio 5.2.6.2", "flush", 'M', NEED_BLK | NEED_LOAD, b05},
	{"B06", "blk", "virtio 5.2.6", "reads into pieces", 'M', NEED_BLK | NEED_LOAD, b06},
	{"B07", "blk", "vdpasim_blk_handle_req", "malformed requests harm nobody", 'D',
	 NEED_BLK | NEED_LOAD, b07, .user = "robustness"},
	{"B10", "blk", "virtio 5.2.6", "what is written can be read", 'M',
	 NEED_BLK | NEED_LOAD | NEED_SCRATCH, b10},
	{"B11", "blk", "virtio 5.2.6.2", "write zeroes", 'M', NEED_BLK | NEED_LOAD | NEED_SCRATCH,
	 b11},
	{"B12", "blk", "virtio 5.2.6.2", "discard", 'M', NEED_BLK | NEED_LOAD | NEED_SCRATCH, b12},
	{"B13", "blk", "virtio 5.2.6", "writes behind the end fail", 'M',
	 NEED_BLK | NEED_LOAD | NEED_SCRATCH, b13},
	{"B14", "blk", "S11 S3", "writes over many suspensions", 'M',
	 NEED_CYCLE | NEED_BLK | NEED_SCRATCH, b14, .user = "vhost-user GET_VRING_BASE"},
	{"KS36", "blk", "vdpasim_blk_work S3",
	 "SUSPEND amid writes: acknowledged is on disk, the rest is not", 'M',
	 NEED_STOP | NEED_BLK | NEED_SCRATCH, ks36, .user = "vhost-user GET_VRING_BASE"},
};
CASE_COUNT(blk);
