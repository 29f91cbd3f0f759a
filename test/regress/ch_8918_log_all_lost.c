/*
 * cloud-hypervisor #8918: a guest that was migrated once cannot be migrated again. Its VMM restores
 * the features that the guest has agreed to, LOG_ALL is none of those, and so the second migration
 * finds a back end that cannot log.
 *
 * Here LOG_ALL is offered to every front end, taken at any time, together with the other features
 * or later, and marks from the kind that there is a log, in every migration of a chain of them.
 */
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"

#define MEMORY	    (1 << 20)
#define LOG_SIZE    4096
#define MOVES	    6
#define PATIENCE_MS 60000
#define LOG_ALL	    (1ull << VHOST_F_LOG_ALL)

static struct disk servers[2];
static struct session guest;
static struct uvdpa_blk *blk;
static unsigned char *data, *after;
static unsigned char *bits;
static int log_fd;
static uint64_t cookie;

static bool marked(const void *p)
{
	uint64_t page = uvdpa_memory_iova(guest.memory, p) / 4096;

	return bits[page / 8] >> page % 8 & 1;
}

/* A read: its data is a write to guest memory. 0, or what went wrong. */
static int read_one(void)
{
	int r = uvdpa_blk_read(blk, 0, data, 4096, ++cookie);

	return r < 0 ? r : uvdpa_blk_finish(blk, cookie, PATIENCE_MS);
}

static void clear(void)
{
	memset(bits, 0, LOG_SIZE);
}

static int set_log_base(void)
{
	struct front_message m = {.request = VHOST_USER_SET_LOG_BASE,
				  .flags = VHOST_USER_VERSION,
				  .size = sizeof(struct vhost_user_log),
				  .payload.log = {.mmap_size = LOG_SIZE},
				  .fds = {log_fd},
				  .fd_count = 1},
			     answer;

	return front_send(guest.fd, &m) || front_receive(guest.fd, &answer);
}

/*
 * One migration: the log is switched on under the guest, which is moved. `early`: LOG_ALL was among
 * the features when the front end connected. Returns NULL, or what is not as it should be.
 */
static const char *migrate(unsigned to, bool early)
{
	struct uvdpa_queue_areas areas;
	int base;

	if (set_log_base())
		return "the log is refused";
	guest.ring_logged = true;
	session_send_addr(&guest);
	session_send_features(&guest, guest.features | LOG_ALL);
	clear();
	if (read_one())
		return "a request fails";
	uvdpa_queue_areas(guest.queue, &areas);
	if (!marked(data) || !marked(areas.used))
		return "what was written is not marked";
	if (marked(after))
		return "what was not written is marked";
	base = session_stop(&guest);
	session_hang_up(&guest);
	/* the other side restores what the guest agreed to, and the ring without its log */
	guest.ring_logged = false;
	guest.features = early ? guest.features | LOG_ALL : guest.features & ~LOG_ALL;
	session_start(&guest, servers[to].path, (uint16_t)base);
	clear();
	if (base != (int)cookie || read_one())
		return "the guest does not go on";
	return marked(data) ? "marked in the log of another server" : NULL;
}

static void set_up(void)
{
	struct uvdpa_error e = {0};

	for (unsigned i = 0; i < 2; i++)
		disk_open(&servers[i], &(struct disk_options){0});
	log_fd = memfd_create("log", MFD_CLOEXEC);
	if (ftruncate(log_fd, LOG_SIZE) < 0)
		perror("ftruncate");
	bits = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	session_init(&guest, MEMORY);
	guest.without_record = true;
	session_start(&guest, servers[0].path, 0);
	uvdpa_blk_new(guest.memory, guest.queue, 4, &blk, &e);
	data = uvdpa_memory_alloc(guest.memory, 4096, 4096);
	after = uvdpa_memory_alloc(guest.memory, 4096, 4096);
}

int main(void)
{
	const char *wrong = NULL;

	log_set_level(LOG_LEVEL_ERROR);
	set_up();
	for (unsigned i = 0; i < MOVES && !wrong; i++) {
		wrong = migrate(~i & 1, i >= MOVES / 2);
		printf("migration %u: %s\n", i + 1, wrong ? wrong : "ok");
	}
	uvdpa_blk_free(blk);
	session_free(&guest);
	munmap(bits, LOG_SIZE);
	close(log_fd);
	disk_close(&servers[0]);
	disk_close(&servers[1]);
	return wrong != NULL;
}
