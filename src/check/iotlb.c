/* Cases: IOTLB messages, poll, read and mmap (K rows I). */
#include "check/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

#define PAGE	4096
#define SUCCESS 72 /* what a write answers, whatever its length */

/* A device negotiated, with nothing mapped, and an arena to map from. */
static void bare(struct check *c, struct rig *rig)
{
	rig_set_up(c, rig, &(struct rig_options){.no_queues = true});
	uvdpa_driver_unmap(rig->drv, rig->memory, 0);
}

static uint64_t at(const struct rig *rig, unsigned page)
{
	return rig->facts->iova_first + (UINT64_C(1) << 20) + (uint64_t)page * PAGE;
}

static int map(struct rig *rig, uint64_t iova, uint64_t size)
{
	return uvdpa_iotlb_update(rig->drv, 0, iova, size, uvdpa_memory_base(rig->memory), 3);
}

static int unmap(struct rig *rig, uint64_t iova, uint64_t size)
{
	return uvdpa_iotlb_invalidate(rig->drv, 0, iova, size);
}

/* A message of any length and bytes. */
static long raw(struct rig *rig, const void *bytes, size_t len)
{
	return (long)uvdpa_write(rig->drv, bytes, len);
}

static struct vhost_msg_v2 message(struct rig *rig, uint8_t kind, unsigned page)
{
	struct vhost_msg_v2 m;

	memset(&m, 0, sizeof(m));
	m.type = VHOST_IOTLB_MSG_V2;
	m.iotlb.type = kind;
	m.iotlb.iova = at(rig, page);
	m.iotlb.size = PAGE;
	m.iotlb.perm = 3;
	m.iotlb.uaddr = (uint64_t)(uintptr_t)uvdpa_memory_base(rig->memory);
	return m;
}

static void ki01(struct check *c)
{
	struct rig rig;
	struct vhost_msg_v2 m;

	bare(c, &rig);
	m = message(&rig, VHOST_IOTLB_UPDATE, 0);
	want(c, raw(&rig, &m, sizeof(m)), SUCCESS, "a version 2 update");
}

static void ki02(struct check *c)
{
	struct vhost_msg v1;
	struct rig rig;

	bare(c, &rig);
	memset(&v1, 0xee, sizeof(v1));
	v1.type = VHOST_IOTLB_MSG;
	v1.iotlb = message(&rig, VHOST_IOTLB_UPDATE, 0).iotlb;
	want(c, raw(&rig, &v1, sizeof(v1)), SUCCESS, "a version 1 update");
	want(c, map(&rig, at(&rig, 0), PAGE), -EFAULT, "the same update as version 2");
}

static void ki03(struct check *c)
{
	struct vhost_msg_v2 m[2];
	struct rig rig;

	bare(c, &rig);
	m[0] = message(&rig, VHOST_IOTLB_UPDATE, 0);
	m[1] = message(&rig, VHOST_IOTLB_UPDATE, 1);
	want(c, raw(&rig, m, 3), -EINVAL, "a message of 3 bytes");
	want(c, raw(&rig, m, 39), -EINVAL, "a message of 39 bytes");
	want_or(c, raw(&rig, m, 40), SUCCESS, 40,
		"servers that cannot answer more than was written", "a message of 40 bytes");
	want(c, unmap(&rig, at(&rig, 0), PAGE), 0, "an invalidate");
	want(c, raw(&rig, m, 144), SUCCESS, "two messages in one write");
	want(c, map(&rig, at(&rig, 0), PAGE), -EFAULT, "an update that the first of them made");
	want(c, map(&rig, at(&rig, 1), PAGE), 0, "an update that the second of them asked for");
}

static void ki04(struct check *c)
{
	struct vhost_msg_v2 m;
	struct rig rig;

	bare(c, &rig);
	m = message(&rig, VHOST_IOTLB_UPDATE, 0);
	m.type = 0;
	want(c, raw(&rig, &m, sizeof(m)), -EINVAL, "a message of type 0");
	m.type = 3;
	want(c, raw(&rig, &m, sizeof(m)), -EINVAL, "a message of type 3");
}

static void ki05(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);

	want(c, uvdpa_iotlb_update(drv, 0, PAGE, 0, NULL, 3), -EINVAL,
	     "an update of size 0, stranger");
	want(c, uvdpa_set_owner(drv), 0, "SET_OWNER");
	want(c, uvdpa_iotlb_update(drv, 0, PAGE, 0, NULL, 3), -EINVAL,
	     "an update of size 0, owner");
}

static void ki06(struct check *c)
{
	struct uvdpa_driver *drv = check_open_flags(c, 0, UVDPA_OPEN_UNOWNED);
	static char page[PAGE];

	want(c, uvdpa_iotlb_update(drv, 0, PAGE, PAGE, page, 3), -EFAULT,
	     "an update by a stranger");
	want(c, uvdpa_iotlb_invalidate(drv, 0, PAGE, PAGE), -EFAULT, "an invalidate by a stranger");
	want(c, uvdpa_iotlb_batch_begin(drv, 0), -EFAULT, "a batch by a stranger");
}

static void ki07(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, map(&rig, at(&rig, 0), 2 * PAGE), 0, "an update");
	want(c, map(&rig, at(&rig, 0), 2 * PAGE), -EFAULT, "the same again");
	want(c, map(&rig, at(&rig, 1), 2 * PAGE), -EFAULT, "one that overlaps its end");
	want(c, map(&rig, at(&rig, 2) - 1, PAGE), -EFAULT, "one that overlaps by a byte");
	want(c, map(&rig, at(&rig, 2), PAGE), 0, "one right behind it");
}

static void ki08(struct check *c)
{
	uint64_t last = c->facts->iova_last;
	struct rig rig;

	bare(c, &rig);
	want(c, map(&rig, last - (PAGE - 1), 2 * PAGE), -EFAULT,
	     "an update beyond the range's end");
	want(c, map(&rig, last - (PAGE - 1), PAGE), 0, "an update up to the range's end");
}

static void ki09(struct check *c)
{
	struct rig rig;
	int r;

	bare(c, &rig);
	want(c, map(&rig, at(&rig, 0), 4 * PAGE), 0, "an update of four pages");
	want(c, unmap(&rig, at(&rig, 1), 1), 0, "an invalidate of one byte in it");
	r = map(&rig, at(&rig, 0), 4 * PAGE);
	want_or(c, r, 0, -EFAULT, "devices that pin pages: the entry was one of several",
		"the same update after it");
}

static void ki10(struct check *c)
{
	static const uint64_t sizes[] = {0, UINT64_MAX};
	struct rig rig;

	bare(c, &rig);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned p = 0; p < 8; p += 2)
			want(c, map(&rig, at(&rig, p), PAGE), 0, "an update");
		want(c, unmap(&rig, 0, sizes[i]), 0, "an invalidate of everything (0, %s)",
		     i ? "2^64-1" : "0");
		for (unsigned p = 0; p < 8; p += 2)
			want(c, map(&rig, at(&rig, p), PAGE), 0, "an update after it");
		unmap(&rig, 0, 0);
	}
}

static void ki11(struct check *c)
{
	struct rig rig;
	struct uvdpa_driver *drv = check_open(c);

	want(c, uvdpa_iotlb_invalidate(drv, 0, PAGE, PAGE), -EFAULT,
	     "an invalidate in a space that was never used");
	uvdpa_driver_close(drv);
	bare(c, &rig);
	want(c, unmap(&rig, at(&rig, 5), PAGE), 0, "an invalidate of what is not mapped");
}

static void ki12(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c,
	     uvdpa_iotlb_update(rig.drv, c->facts->asids, at(&rig, 0), PAGE,
				uvdpa_memory_base(rig.memory), 3),
	     -EFAULT, "an update of address space %u of %u", c->facts->asids, c->facts->asids);
}

static void ki13(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, uvdpa_iotlb_batch_begin(rig.drv, 0), 0, "BATCH_BEGIN");
	want(c, uvdpa_iotlb_batch_begin(rig.drv, 0), 0, "BATCH_BEGIN again");
	want(c, map(&rig, at(&rig, 0), PAGE), 0, "an update in the batch");
	want(c, uvdpa_iotlb_batch_end(rig.drv, 0), 0, "BATCH_END");
	want(c, uvdpa_iotlb_batch_end(rig.drv, 0), 0, "BATCH_END again");
}

static void ki14(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, uvdpa_iotlb_batch_begin(rig.drv, 0), 0, "BATCH_BEGIN in space 0");
	want(c, uvdpa_iotlb_update(rig.drv, 1, at(&rig, 0), PAGE, uvdpa_memory_base(rig.memory), 3),
	     -EFAULT, "an update in space 1 during it");
}

static void ki15(struct check *c)
{
	static const uint8_t kinds[] = {0, 1, 4, 7, 0xff};
	struct rig rig;

	bare(c, &rig);
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		struct vhost_msg_v2 m = message(&rig, kinds[i], 0);

		want(c, raw(&rig, &m, sizeof(m)), -EFAULT, "a message of kind %u", kinds[i]);
	}
}

static void ki16(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, uvdpa_iotlb_update(rig.drv, 0, at(&rig, 0), PAGE, uvdpa_memory_base(rig.memory), 0),
	     0, "an update with perm 0");
	want(c,
	     uvdpa_iotlb_update(rig.drv, 0, at(&rig, 1), PAGE, uvdpa_memory_base(rig.memory), 0xff),
	     0, "an update with perm 0xff");
}

static void ki17(struct check *c)
{
	struct rig rig;
	int again;

	rig_set_up(c, &rig, &(struct rig_options){.private_memory = true});
	again = uvdpa_iotlb_update(rig.drv, 0,
				   uvdpa_memory_iova(rig.memory, uvdpa_memory_base(rig.memory)),
				   uvdpa_memory_size(rig.memory), uvdpa_memory_base(rig.memory), 3);
	defined(c, "private memory: mapping it twice answers %s", answer(again));
	defined(c, "private memory: the device %s",
		load_run(&rig, 2, 300) == 0 ? "reaches it" : "cannot reach it");
}

static void ki18(struct check *c)
{
	int fd = open(c->targets[0].name, O_RDWR | O_CLOEXEC);
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2};
	struct iovec parts[3] = {{&m, 4}, {(char *)&m + 4, 13}, {(char *)&m + 17, 55}};

	m.iotlb.type = VHOST_IOTLB_BATCH_BEGIN;
	if (fd < 0 || ioctl(fd, VHOST_SET_OWNER, NULL) < 0)
		skip(c, "cannot open it: %s", strerror(errno));
	want(c, writev(fd, parts, 3) < 0 ? -errno : SUCCESS, SUCCESS, "a message in three pieces");
}

static void ki19(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, map(&rig, at(&rig, 0), PAGE), 0, "an update");
	want(c, uvdpa_set_status(rig.drv, 0), 0, "SET_STATUS 0");
	want(c, map(&rig, at(&rig, 0), PAGE), -EFAULT, "the same update after a reset");
	want(c, unmap(&rig, at(&rig, 0), PAGE), 0, "an invalidate after a reset");
	want(c, map(&rig, at(&rig, 0), PAGE), 0, "the update again");
}

static void ki20(struct check *c)
{
	int fd = open(c->targets[0].name, O_RDWR | O_CLOEXEC | O_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	char buffer[72];

	if (fd < 0 || ep < 0)
		skip(c, "cannot open it: %s", strerror(errno));
	want(c, read(fd, buffer, sizeof(buffer)) < 0 ? -errno : 0, -EINVAL, "read()");
	want(c, poll(&p, 1, 0), 1, "poll()");
	want(c, p.revents, POLLIN | POLLOUT, "what poll() shows");
	want(c, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0, -EPERM,
	     "epoll_ctl(ADD)");
}

static void ki21(struct check *c)
{
	struct rig rig;
	int r = 0;
	unsigned n;

	bare(c, &rig);
	/* in a batch: some devices are told of the whole map after every update outside one */
	want(c, uvdpa_iotlb_batch_begin(rig.drv, 0), 0, "BATCH_BEGIN");
	for (n = 0; n < 2049 && r == 0; n++)
		r = map(&rig, at(&rig, n * 2), PAGE);
	if (r == -EFAULT && n == 2049)
		return;
	defined(c, "%u disjoint mappings: %s (Linux 7.2: the 2049th is refused)", n, answer(r));
}

static void ki22(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	uvdpa_driver_unmap(rig.drv, rig.memory, 0);
	want(c,
	     uvdpa_iotlb_update(
		     rig.drv, 0, uvdpa_memory_iova(rig.memory, uvdpa_memory_base(rig.memory)),
		     uvdpa_memory_size(rig.memory), uvdpa_memory_base(rig.memory), VHOST_ACCESS_RO),
	     0, "an update for reading only");
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_MEMORY);
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	rig_kick(&rig);
	check_sleep(WATCH_US);
	if (s.memory &&
	    memcmp(s.memory, uvdpa_memory_base(rig.memory), uvdpa_memory_size(rig.memory)))
		broken(c, "memory mapped for reading is not written", "it was, used index now %u",
		       rig_used(&rig, rig.work));
}

/* What mmap() answers. */
static int try_mmap(int fd, size_t size, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, size, prot, flags, fd, offset);

	return p == MAP_FAILED ? -errno : 0;
}

static void ki23(struct check *c)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(c->targets[0].name, O_RDWR | O_CLOEXEC);
	int doorbell;

	if (fd < 0)
		skip(c, "cannot open it: %s", strerror(errno));
	want(c, try_mmap(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED, 0), -EINVAL,
	     "mmap() of a doorbell, readable");
	want(c, try_mmap(fd, page, PROT_WRITE, MAP_PRIVATE, 0), -EINVAL, "mmap(), private");
	want(c, try_mmap(fd, 2 * page, PROT_WRITE, MAP_SHARED, 0), -EINVAL, "mmap() of two pages");
	doorbell = try_mmap(fd, page, PROT_WRITE, MAP_SHARED, 0);
	if (doorbell != -524)
		differs(c, "mmap() of a doorbell answers 524 on the simulators, %s here",
			answer(doorbell));
}

static void i24(struct check *c)
{
	struct rig rig;

	bare(c, &rig);
	want(c, map(&rig, at(&rig, 0), 2 * PAGE), 0, "an update");
	want(c, unmap(&rig, at(&rig, 0), 0), 0, "an invalidate of size 0 at its start");
	want(c, map(&rig, at(&rig, 0), 2 * PAGE), -EFAULT, "the same update after it");
	want(c, unmap(&rig, at(&rig, 1), 0), 0, "an invalidate of size 0 in its middle");
	want(c, map(&rig, at(&rig, 0), 2 * PAGE), 0, "the same update after that");
}

static void map_piece(struct rig *rig, uint64_t iova, uint64_t size, void *base)
{
	int r = uvdpa_iotlb_update(rig->drv, 0, iova, size, base, 3);

	/* how many there can be is for the back end to say */
	if (r == -EFAULT && target_is_socket(rig->c))
		skip(rig->c, "the back end takes fewer regions");
	want(rig->c, r, 0, "an update");
}

static void i25(struct check *c)
{
	struct rig rig;
	size_t half;
	uint8_t *base;
	uint64_t iova;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	base = uvdpa_memory_base(rig.memory);
	iova = uvdpa_memory_iova(rig.memory, base);
	half = uvdpa_memory_size(rig.memory) / 2;
	uvdpa_driver_unmap(rig.drv, rig.memory, 0);
	want(c, uvdpa_iotlb_batch_begin(rig.drv, 0), 0, "BATCH_BEGIN");
	for (size_t p = 0; p < half; p += 65536)
		map_piece(&rig, iova + p, 65536, base + p);
	map_piece(&rig, iova + half, half, base + half);
	want(c, uvdpa_iotlb_batch_end(rig.drv, 0), 0, "BATCH_END");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	load_must_run(&rig, 16, "over memory mapped in many pieces, in a batch");
}

const struct check_case iotlb_cases[] = {
	{"KI01", "iotlb", "vhost_chr_write_iter", "an update of shared memory", 'M', 0, ki01,
	 .user = "vhost-user ADD_MEM_REG"},
	{"KI02", "iotlb", "vhost_chr_write_iter", "messages of version 1", 'M', 0, ki02},
	{"KI03", "iotlb", "vhost_chr_write_iter", "messages that are too short or too long", 'M', 0,
	 ki03},
	{"KI04", "iotlb", "vhost_chr_write_iter", "types of message that do not exist", 'M', 0,
	 ki04},
	{"KI05", "iotlb", "vhost_chr_write_iter", "updates of size 0", 'M', 0, ki05},
	{"KI06", "iotlb", "vhost_vdpa_process_iotlb_msg", "messages need ownership", 'M', 0, ki06},
	{"KI07", "iotlb", "vhost_vdpa_process_iotlb_update", "mappings do not overlap", 'M', 0,
	 ki07},
	{"KI08", "iotlb", "vhost_vdpa_process_iotlb_update", "mappings lie in the device's range",
	 'M', 0, ki08},
	{"KI09", "iotlb", "vhost_vdpa_iotlb_unmap", "a partial invalidate takes the whole entry",
	 'M', 0, ki09},
	{"KI10", "iotlb", "vhost_vdpa_iotlb_unmap", "two ways to invalidate everything", 'M', 0,
	 ki10},
	{"KI11", "iotlb", "vhost_vdpa_process_iotlb_msg", "invalidates of nothing", 'M', 0, ki11},
	{"KI12", "iotlb", "vhost_vdpa_alloc_as", "address spaces that do not exist", 'M', 0, ki12},
	{"KI13", "iotlb", "vhost_vdpa_process_iotlb_msg", "batches do not nest and may be repeated",
	 'M', 0, ki13},
	{"KI14", "iotlb", "vhost_vdpa_process_iotlb_msg", "a batch is of one address space", 'M',
	 NEED_ASIDS, ki14},
	{"KI15", "iotlb", "vhost_vdpa_process_iotlb_msg", "kinds of message that do not exist", 'M',
	 0, ki15},
	{"KI16", "iotlb", "vhost_vdpa_process_iotlb_update", "permissions are not validated", 'K',
	 0, ki16},
	{"KI17", "iotlb", "vhost_vdpa_va_map", "private memory", 'D', NEED_LOAD, ki17},
	{"KI18", "iotlb", "vhost_chr_write_iter", "a message in several pieces", 'M', NEED_FILE,
	 ki18},
	{"KI19", "iotlb", "vhost_vdpa_process_iotlb_update", "mappings outlive a reset", 'M', 0,
	 ki19},
	{"KI20", "iotlb", "vhost_vdpa_fops", "read, poll and epoll", 'K', NEED_FILE, ki20},
	{"KI21", "iotlb", "vhost_iotlb_add_range_ctx", "how many mappings there can be", 'D', 0,
	 ki21},
	{"KI22", "iotlb", "iotlb_translate", "memory mapped for reading is not written", 'M',
	 NEED_LOAD, ki22},
	{"KI23", "iotlb", "vhost_vdpa_mmap", "doorbells", 'K', NEED_FILE, ki23},
	{"I24", "iotlb", "vhost_vdpa_iotlb_unmap", "invalidates of size 0 inside an entry", 'K', 0,
	 i24},
	{"I25", "iotlb", "vhost_vdpa_process_iotlb_msg", "memory in many pieces works as one", 'M',
	 NEED_LOAD, i25, .user = "vhost-user ADD_MEM_REG"},
};
CASE_COUNT(iotlb);
