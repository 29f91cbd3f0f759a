/*
 * A RAM disk behind VDUSE, for the checker to be held against the kernel's own way to a device in
 * user space: /dev/vhost-vdpa-N is then the kernel's code down to the messages, and ours behind
 * them.
 *
 *	vduse_disk NAME no-suspend|suspend|fail-suspend
 *
 * Says "ready" on stdout when `vdpa dev add name NAME mgmtdev vduse` may be called, and serves
 * until it is killed. Linux 7.3 forwards SUSPEND if the server has asked for that before it creates
 * the device (linux: vduse_vdpa_suspend()); "fail-suspend" asks for it and then refuses.
 *
 * One thread, one queue, every request finished before the next is looked at: nothing is ever in
 * flight when a message comes, so that answering SUSPEND is a matter of not looking any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vduse.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

/* Linux 7.3 (include/uapi/linux/vduse.h). */
#define SET_FEATURES	_IOW(VDUSE_BASE, 0x05, __u64)
#define FEATURE_SUSPEND 2u /* a mask */
#define MESSAGE_SUSPEND 5

#define SECTORS	    8192
#define QUEUE_MAX   256
#define MAPS	    64
#define CONFIG_SIZE 60

struct map {
	uint64_t start, last;
	uint8_t *host; /* NULL: free */
	uint8_t perm;
};

static struct {
	int dev, kick;
	bool can_suspend, refuses, suspended, started;
	uint8_t status;
	uint64_t desc, avail, used;
	uint32_t num;
	uint16_t last_avail, used_idx, told_avail; /* told_avail: the base that the kernel has */
	struct map maps[MAPS];
	uint8_t disk[SECTORS * 512];
} d;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "vduse_disk: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Memory ------------------------------------------------------------------------------------- */

static void forget_maps(void)
{
	for (unsigned i = 0; i < MAPS; i++) {
		if (d.maps[i].host)
			munmap(d.maps[i].host, d.maps[i].last - d.maps[i].start + 1);
		d.maps[i].host = NULL;
	}
}

static struct map *ask_map(uint64_t iova)
{
	struct vduse_iotlb_entry e = {.start = iova, .last = iova};
	int fd = ioctl(d.dev, VDUSE_IOTLB_GET_FD, &e), prot = 0;
	struct map *m = NULL;
	void *p;

	for (unsigned i = 0; i < MAPS && !m; i++)
		if (!d.maps[i].host)
			m = &d.maps[i];
	if (fd < 0 || !m) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	prot |= e.perm & VDUSE_ACCESS_RO ? PROT_READ : 0;
	prot |= e.perm & VDUSE_ACCESS_WO ? PROT_WRITE : 0;
	p = mmap(NULL, e.last - e.start + 1, prot, MAP_SHARED, fd, (off_t)e.offset);
	close(fd);
	if (p == MAP_FAILED)
		return NULL;
	*m = (struct map){e.start, e.last, p, e.perm};
	return m;
}

static void *at(uint64_t iova, uint64_t len, uint8_t perm)
{
	struct map *m = NULL;

	for (unsigned i = 0; i < MAPS && !m; i++)
		if (d.maps[i].host && d.maps[i].start <= iova && d.maps[i].last >= iova)
			m = &d.maps[i];
	if (!m)
		m = ask_map(iova);
	if (!m || len == 0 || len - 1 > m->last - iova || (m->perm & perm) != perm)
		return NULL;
	return m->host + (iova - m->start);
}

/* Requests ----------------------------------------------------------------------------------- */

struct request {
	struct virtio_blk_outhdr *header;
	struct {
		uint8_t *host;
		uint32_t len;
		bool writable;
	} data[QUEUE_MAX];
	unsigned count;
	uint8_t *status;
	uint32_t written;
};

/* Walks a chain: 16 readable bytes, data, one writable byte (virtio 5.2.6). */
static bool walk(uint16_t head, struct request *r)
{
	const struct vring_desc *table = at(d.desc, 16 * (uint64_t)d.num, VDUSE_ACCESS_RO), *desc;
	unsigned at_index = head, steps = 0;

	memset(r, 0, sizeof(*r));
	do {
		uint8_t *host;

		if (!table || at_index >= d.num || steps++ >= d.num)
			return false;
		desc = &table[at_index];
		host = at(desc->addr, desc->len,
			  desc->flags & VRING_DESC_F_WRITE ? VDUSE_ACCESS_WO : VDUSE_ACCESS_RO);
		if (!host)
			return false;
		if (!r->header) {
			if (desc->len < sizeof(*r->header) || desc->flags & VRING_DESC_F_WRITE)
				return false;
			r->header = (struct virtio_blk_outhdr *)host;
		} else {
			r->data[r->count].host = host;
			r->data[r->count].len = desc->len;
			r->data[r->count++].writable = desc->flags & VRING_DESC_F_WRITE;
		}
		at_index = desc->next;
	} while (desc->flags & VRING_DESC_F_NEXT);
	if (r->count == 0 || !r->data[r->count - 1].writable)
		return false;
	r->count--;
	r->status = r->data[r->count].host + r->data[r->count].len - 1;
	return true;
}

static uint8_t transfer(struct request *r, bool in)
{
	uint64_t sector = r->header->sector, offset = sector * 512;

	for (unsigned i = 0; i < r->count; i++) {
		if (sector >= SECTORS || offset + r->data[i].len > sizeof(d.disk))
			return VIRTIO_BLK_S_IOERR;
		if (in && !r->data[i].writable)
			return VIRTIO_BLK_S_IOERR;
		memcpy(in ? r->data[i].host : d.disk + offset,
		       in ? d.disk + offset : r->data[i].host, r->data[i].len);
		r->written += in ? r->data[i].len : 0;
		offset += r->data[i].len;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t perform(struct request *r)
{
	switch (r->header->type) {
	case VIRTIO_BLK_T_IN:
		return transfer(r, true);
	case VIRTIO_BLK_T_OUT:
		return transfer(r, false);
	case VIRTIO_BLK_T_FLUSH:
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		if (r->count && r->data[0].writable && r->data[0].len >= 20) {
			memcpy(r->data[0].host, "vduse_disk\0\0\0\0\0\0\0\0\0\0", 20);
			r->written = 20;
		}
		return VIRTIO_BLK_S_OK;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static bool publish(uint16_t head, uint32_t written)
{
	struct vring_used_elem *e =
		at(d.used + 4 + 8 * (uint64_t)(d.used_idx % d.num), 8, VDUSE_ACCESS_WO);
	uint16_t *idx = at(d.used + 2, 2, VDUSE_ACCESS_WO);

	if (!e || !idx)
		return false;
	e->id = head;
	e->len = written;
	__atomic_store_n(idx, ++d.used_idx, __ATOMIC_RELEASE);
	return true;
}

static void serve_ring(void)
{
	static struct request r;
	uint32_t index = 0;
	bool any = false;

	while (d.started && !d.suspended) {
		const uint16_t *shown = at(d.avail + 2, 2, VDUSE_ACCESS_RO), *head;

		if (!shown || __atomic_load_n(shown, __ATOMIC_ACQUIRE) == d.last_avail)
			break;
		head = at(d.avail + 4 + 2 * (uint64_t)(d.last_avail % d.num), 2, VDUSE_ACCESS_RO);
		if (!head || *head >= d.num || !walk(*head, &r)) {
			d.started = false; /* nonsense: until the next reset */
			break;
		}
		d.last_avail++;
		*r.status = perform(&r);
		if (!publish(*head, r.written + 1))
			d.started = false;
		any = true;
	}
	if (any)
		ioctl(d.dev, VDUSE_VQ_INJECT_IRQ, &index);
}

/* Life ---------------------------------------------------------------------------------------- */

static void stop(void)
{
	d.started = d.suspended = false;
	d.last_avail = d.used_idx = d.told_avail = 0;
	forget_maps();
}

/* What the kernel knows of the queue: it is asked, not told. */
static bool get_info(struct vduse_vq_info *info)
{
	memset(info, 0, sizeof(*info));
	return ioctl(d.dev, VDUSE_VQ_GET_INFO, info) == 0;
}

static void start(void)
{
	struct vduse_vq_eventfd kick = {.index = 0, .fd = d.kick};
	struct vduse_vq_info info;

	if (d.started || !(d.status & VIRTIO_CONFIG_S_DRIVER_OK) || !get_info(&info) || !info.ready)
		return;
	d.desc = info.desc_addr;
	d.avail = info.driver_addr;
	d.used = info.device_addr;
	d.num = info.num;
	d.last_avail = d.used_idx = d.told_avail = info.split.avail_index;
	d.started = d.num > 0;
	if (ioctl(d.dev, VDUSE_VQ_SETUP_KICKFD, &kick) < 0)
		die("VQ_SETUP_KICKFD");
}

/* GET_VQ_STATE: where we stand, or what SET_VRING_BASE has said since. */
static uint16_t base_now(void)
{
	struct vduse_vq_info info;

	if (get_info(&info) && info.split.avail_index != d.told_avail)
		d.last_avail = d.told_avail = info.split.avail_index;
	return d.last_avail;
}

static void answer_request(const struct vduse_dev_request *q, struct vduse_dev_response *a)
{
	switch (q->type) {
	case VDUSE_GET_VQ_STATE:
		a->vq_state.index = q->vq_state.index;
		a->vq_state.split.avail_index = base_now();
		break;
	case VDUSE_SET_STATUS:
		d.status = q->s.status;
		if (d.status == 0)
			stop();
		break;
	case VDUSE_UPDATE_IOTLB:
		forget_maps();
		break;
	case MESSAGE_SUSPEND:
		if (d.refuses)
			a->result = VDUSE_REQ_RESULT_FAILED;
		else
			d.suspended = true;
		break;
	default:
		a->result = VDUSE_REQ_RESULT_FAILED;
	}
}

static void serve_message(void)
{
	struct vduse_dev_request q;
	struct vduse_dev_response a;

	if (read(d.dev, &q, sizeof(q)) != (ssize_t)sizeof(q))
		return;
	memset(&a, 0, sizeof(a));
	a.request_id = q.request_id;
	answer_request(&q, &a);
	if (write(d.dev, &a, sizeof(a)) != (ssize_t)sizeof(a))
		die("answering a message");
	start();
	serve_ring();
}

static void create(const char *name)
{
	/* the header, and config space behind it */
	_Alignas(struct vduse_dev_config)
		uint8_t bytes[sizeof(struct vduse_dev_config) + CONFIG_SIZE];
	struct vduse_dev_config *c = (struct vduse_dev_config *)(void *)bytes;
	struct vduse_vq_config queue = {.index = 0, .max_size = QUEUE_MAX};
	int control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC);
	uint64_t version = 0, features = FEATURE_SUSPEND;
	char path[300];

	if (control < 0)
		die("/dev/vduse/control");
	if (ioctl(control, VDUSE_SET_API_VERSION, &version) < 0)
		die("SET_API_VERSION");
	if (d.can_suspend && ioctl(control, SET_FEATURES, &features) < 0)
		die("SET_FEATURES: this kernel does not forward SUSPEND");
	memset(bytes, 0, sizeof(bytes));
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->device_id = VIRTIO_ID_BLOCK;
	c->features = 1ull << VIRTIO_F_ACCESS_PLATFORM | 1ull << VIRTIO_F_VERSION_1 |
		      1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_SEG_MAX;
	c->vq_num = 1;
	c->vq_align = 4096;
	c->config_size = CONFIG_SIZE;
	c->config[1] = SECTORS >> 8; /* capacity, little-endian */
	c->config[12] = 64;	     /* seg_max */
	if (ioctl(control, VDUSE_CREATE_DEV, c) < 0)
		die("CREATE_DEV");
	snprintf(path, sizeof(path), "/dev/vduse/%s", name);
	for (unsigned i = 0; i < 100 && (d.dev = open(path, O_RDWR | O_CLOEXEC)) < 0; i++)
		usleep(10000);
	if (d.dev < 0)
		die(path);
	if (ioctl(d.dev, VDUSE_VQ_SETUP, &queue) < 0)
		die("VQ_SETUP");
}

int main(int argc, char **argv)
{
	uint64_t count;

	if (argc != 3) {
		fprintf(stderr, "usage: vduse_disk NAME no-suspend|suspend|fail-suspend\n");
		return 2;
	}
	d.can_suspend = strcmp(argv[2], "no-suspend") != 0;
	d.refuses = strcmp(argv[2], "fail-suspend") == 0;
	d.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	create(argv[1]);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = {{d.dev, POLLIN, 0}, {d.kick, POLLIN, 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[0].revents & POLLERR)
			die("the kernel has given the device up");
		if (p[0].revents & POLLIN)
			serve_message();
		if (p[1].revents & POLLIN && read(d.kick, &count, sizeof(count)) > 0) {
			start();
			serve_ring();
		}
	}
}
