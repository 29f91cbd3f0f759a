/*
 * Fuzz target: whatever a vhost-vdpa client may say, through the in-process
 * export to a disk that really runs: ioctls, IOTLB messages, kicks, and any bytes
 * in the memory that rings and buffers lie in.
 *
 * Checked, besides what sanitizers see: calls answer 0 or a negative errno;
 * IOTLB messages are answered as a second, simpler record of the rules says;
 * backend features are what was set last; nobody but a reset takes a status
 * bit away.
 *
 * An input is a sequence of steps: a byte that says which (enum step), then what
 * it needs.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/backends.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"
#include "memory/client.h"
#include "model/models.h"
#include "util/log.h"
#include "wire/vhost.h"

#define ARENA	  (64 * 1024)
#define ARENA_AT  0x10000u /* its address in the client, and where set-ups map it */
#define MAX_STEPS 300
#define ASIDS	  2
#define QUEUES	  2

enum step { MESSAGE, RAW_MESSAGE, CALL, RAW_CALL, KICK, MEMORY, SET_UP, STEPS };

static uint8_t arena[ARENA];
static struct runtime *runtime;
static int eventfds[2];
static struct inprocess *export;

/* The rules of IOTLB messages once more, for a few entries. */
static struct record {
	struct {
		uint64_t iova, last;
	} entries[ASIDS][MAX_STEPS];
	unsigned count[ASIDS];
	bool created[ASIDS], owner, in_batch;
	unsigned batch_asid;
	uint64_t features;
} record;

static int arena_map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
		     struct window *out)
{
	*out = (struct window){.uaddr = uaddr, .size = size};
	if (uaddr < ARENA_AT || uaddr >= ARENA_AT + ARENA)
		return 0;
	out->host = arena + (uaddr - ARENA_AT);
	if (out->size > ARENA_AT + ARENA - uaddr)
		out->size = ARENA_AT + ARENA - uaddr;
	return 0;
}

static void arena_unmap(struct client_memory *memory, struct window *window)
{
}

static int arena_read(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	return -EFAULT; /* what is not in a window is not there */
}

static int arena_write(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	return -EFAULT;
}

static const struct client_memory_ops arena_ops = {
	.map = arena_map, .unmap = arena_unmap, .read = arena_read, .write = arena_write};
static struct client_memory arena_memory = {.ops = &arena_ops};

static void make_disk(void)
{
	struct runtime_options options = {.device = {.name = "fuzzed",
						     .queue_size = 64,
						     .asids = ASIDS,
						     .groups = 2,
						     .packed = true,
						     .suspend_timeout_ms = 5000}};
	struct blk_options blk = {.queues = QUEUES, .queue_size = 64, .write_cache = true};
	struct block *block;
	struct model *model;
	int error;

	log_set_level(LOG_LEVEL_ERROR);
	error = block_memory_open(1 << 20, &block, NULL) || blk_new(&blk, block, &model, NULL) ||
		runtime_new(&options, model, &runtime, NULL);
	assert(!error);
	for (int i = 0; i < 2; i++)
		eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	(void)error;
}

/* The last byte of a removal may be before its first: what holds both goes then. */
static void record_remove(unsigned asid, uint64_t iova, uint64_t last)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < record.count[asid]; i++)
		if (record.entries[asid][i].iova > last || record.entries[asid][i].last < iova)
			record.entries[asid][kept++] = record.entries[asid][i];
	record.count[asid] = kept;
}

static bool record_add(unsigned asid, uint64_t iova, uint64_t last)
{
	unsigned *count = &record.count[asid];

	for (unsigned i = 0; i < *count; i++)
		if (record.entries[asid][i].iova <= last && record.entries[asid][i].last >= iova)
			return false;
	record.entries[asid][*count].iova = iova;
	record.entries[asid][(*count)++].last = last;
	return true;
}

/* What a whole message of a known version has to be answered. */
static ssize_t record_message(uint32_t named_asid, bool v2, const struct vhost_iotlb_msg *m)
{
	uint32_t asid = v2 && record.features & 1u << VHOST_BACKEND_F_IOTLB_ASID ? named_asid : 0;
	uint64_t last = m->iova + m->size - 1;
	bool whole = last >= m->iova && m->uaddr + m->size - 1 >= m->uaddr;

	if (m->type == VHOST_IOTLB_UPDATE && !m->size)
		return -EINVAL;
	if (!record.owner || asid >= ASIDS)
		return -EFAULT;
	if (m->type == VHOST_IOTLB_UPDATE || m->type == VHOST_IOTLB_BATCH_BEGIN)
		record.created[asid] = true;
	if (!record.created[asid] || (record.in_batch && record.batch_asid != asid))
		return -EFAULT;
	if (m->type == VHOST_IOTLB_UPDATE)
		return whole && record_add(asid, m->iova, last) ? 72 : -EFAULT;
	if (m->type == VHOST_IOTLB_INVALIDATE)
		record_remove(asid, m->iova, last);
	else if (m->type == VHOST_IOTLB_BATCH_BEGIN || m->type == VHOST_IOTLB_BATCH_END)
		record.in_batch = m->type == VHOST_IOTLB_BATCH_BEGIN;
	else
		return -EFAULT;
	record.batch_asid = asid;
	return 72;
}

static void send_message(const uint8_t *bytes, size_t size)
{
	ssize_t wanted = -EINVAL, got;
	struct vhost_msg_v2 m;

	if (size >= 40) {
		memset(&m, 0, sizeof(m));
		memcpy(&m, bytes, 40);
		if (m.type == VHOST_IOTLB_MSG || m.type == VHOST_IOTLB_MSG_V2)
			wanted = record_message(m.asid, m.type == VHOST_IOTLB_MSG_V2, &m.iotlb);
	}
	got = inprocess_write(export, bytes, size);
	if (got != wanted)
		abort();
}

/* Few addresses, so that they meet. */
static void eat_message(struct food *food)
{
	static const uint64_t ends[] = {0, 1, UINT64_MAX, UINT64_MAX - 0xfff, 1ull << 63};
	uint8_t a = eat_byte(food), b = eat_byte(food), c = eat_byte(food);
	struct vhost_msg_v2 m = {.type = c & 1 ? VHOST_IOTLB_MSG : VHOST_IOTLB_MSG_V2,
				 .asid = (c >> 1) % 3};

	m.iotlb.iova = a < 5 ? ends[a] : 0x800ull * a;
	m.iotlb.size = b < 5 ? ends[b] : 0x200ull * b;
	m.iotlb.uaddr = ARENA_AT + 0x100ull * (c & 0xf0);
	m.iotlb.perm = b & 3;
	m.iotlb.type = 2 + (c >> 3) % 5;
	send_message((uint8_t *)&m, sizeof(m));
}

static void call(unsigned long cmd, uint8_t *arg)
{
	uint8_t before = 0, after = 0, wanted = arg[0];
	int r;

	inprocess_ioctl(export, VHOST_VDPA_GET_STATUS, &before);
	r = inprocess_ioctl(export, cmd, arg);
	if (r > 0 || r < -4095)
		abort();
	inprocess_ioctl(export, VHOST_VDPA_GET_STATUS, &after);
	if ((before & ~after) && !(cmd == VHOST_VDPA_SET_STATUS && !wanted))
		abort();
	if (r)
		return;
	if (cmd == VHOST_SET_OWNER)
		record.owner = true;
	if (cmd == VHOST_SET_BACKEND_FEATURES)
		memcpy(&record.features, arg, 8);
}

/* A call that there is, with any argument; descriptors are ours or none. */
static void eat_call(struct food *food)
{
	static uint8_t arg[8192];
	unsigned cmd = VHOST_VDPA_GET_STATUS;
	uint8_t which = eat_byte(food);
	const int fds[] = {-1, eventfds[0], eventfds[1], 1 << 20};
	int fd;

	vdpa_call_name(which, &cmd);
	memset(arg, 0, 64);
	eat(food, arg, eat_byte(food) % 49);
	fd = fds[arg[4] % 4];
	if (cmd == VHOST_SET_VRING_KICK || cmd == VHOST_SET_VRING_CALL ||
	    cmd == VHOST_SET_VRING_ERR)
		memcpy(arg + 4, &fd, 4);
	if (cmd == VHOST_VDPA_SET_CONFIG_CALL)
		memcpy(arg, &fd, 4);
	call(cmd, arg);
}

static void eat_raw_call(struct food *food)
{
	uint32_t cmd;
	uint8_t arg[8];

	eat(food, &cmd, sizeof(cmd));
	eat(food, arg, sizeof(arg));
	for (unsigned i = 0, known; vdpa_call_name(i, &known); i++)
		if (known == cmd)
			return; /* those need more room */
	if (inprocess_ioctl(export, cmd, arg) >= 0)
		abort();
}

static void eat_memory(struct food *food)
{
	uint16_t at = eat_u16(food);
	uint8_t size = eat_byte(food);

	eat(food, arena + at, at + size <= ARENA ? size : 0);
}

/* A driver's usual way, so that inputs soon get to rings. */
static void set_up(struct food *food)
{
	uint64_t features = 1ull << 32 | 1ull << 33;
	uint8_t how = eat_byte(food), status[] = {1, 3, 0xb, 0xf};
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2,
				 .iotlb = {.iova = ARENA_AT,
					   .size = ARENA,
					   .uaddr = ARENA_AT,
					   .perm = 3,
					   .type = VHOST_IOTLB_UPDATE}};

	if (how & 4)
		features |= 1ull << 34;
	call(VHOST_SET_OWNER, status);
	call(VHOST_VDPA_SET_STATUS, status);
	call(VHOST_VDPA_SET_STATUS, status + 1);
	call(VHOST_SET_FEATURES, (uint8_t *)&features);
	call(VHOST_VDPA_SET_STATUS, status + 2);
	send_message((uint8_t *)&m, sizeof(m));
	for (unsigned q = 0; q < QUEUES; q++) {
		uint64_t at = ARENA_AT + q * 0x2000;
		struct vhost_vring_addr addr = {.index = q,
						.desc_user_addr = at,
						.avail_user_addr = at + 0x800,
						.used_user_addr = at + 0x1000};
		struct vhost_vring_state num = {q, how & 8 ? 8 : 64}, on = {q, 1};
		struct vhost_vring_file kick = {q, eventfds[0]};

		call(VHOST_SET_VRING_NUM, (uint8_t *)&num);
		call(VHOST_SET_VRING_ADDR, (uint8_t *)&addr);
		call(VHOST_SET_VRING_KICK, (uint8_t *)&kick);
		call(VHOST_VDPA_SET_VRING_ENABLE, (uint8_t *)&on);
	}
	call(VHOST_VDPA_SET_STATUS, status + 3);
}

static void step(struct food *food)
{
	uint8_t bytes[80];
	size_t size;
	uint64_t one = 1;

	switch ((enum step)(eat_byte(food) % STEPS)) {
	case MESSAGE:
		eat_message(food);
		break;
	case RAW_MESSAGE:
		size = eat_byte(food) % sizeof(bytes);
		eat(food, bytes, size);
		send_message(bytes, size);
		break;
	case CALL:
		eat_call(food);
		break;
	case RAW_CALL:
		eat_raw_call(food);
		break;
	case KICK:
		if (write(eventfds[eat_byte(food) % 2], &one, sizeof(one)) < 0)
			abort();
		break;
	case MEMORY:
		eat_memory(food);
		break;
	case SET_UP:
		set_up(food);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct inprocess_options options = {.vdpa.kernel_uapi = size & 1,
						  .memory = &arena_memory};
	struct food food = {data, size};
	uint64_t count;

	if (!runtime)
		make_disk();
	memset(arena, 0, sizeof(arena));
	memset(&record, 0, sizeof(record));
	if (inprocess_open(runtime, &options, &export, NULL))
		abort();
	for (unsigned i = 0; i < MAX_STEPS && food.left; i++)
		step(&food);
	inprocess_close(export);
	for (int i = 0; i < 2; i++)
		if (read(eventfds[i], &count, sizeof(count)) < 0)
			count = 0;
	return 0;
}
