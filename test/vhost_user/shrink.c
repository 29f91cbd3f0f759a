/*
 * Files that shrink while they are in use: guest memory, the dirty log, the record of requests in
 * flight. It breaks that client's device and nothing else: the log says why, no descriptor and no
 * mapping is left, and the next client is served. (No cmocka: that has a handler for SIGBUS of its
 * own.)
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_user/disk.h"
#include "vhost_user/logged.h"
#include "vhost_user/session.h"

#define MEMORY (1 << 20)

enum what { CUT_MEMORY, CUT_LOG, CUT_RECORD };

static const char *const names[] = {"memory", "log", "record"};

static struct disk disk;

/* A record of the front end's own: the server's would be sealed. */
static void bring_record(struct session *s)
{
	s->inflight = (struct vhost_user_inflight){
		.mmap_size = 65536, .queues = 1, .queue_size = SESSION_RING};
	s->inflight_fd = memfd_create("record", MFD_CLOEXEC);
	if (ftruncate(s->inflight_fd, 65536) < 0)
		perror("ftruncate");
}

/* One request that works, then the file is cut and another comes. 0: as it should be. */
static int life(enum what what)
{
	struct session s;
	struct uvdpa_error error = {0};
	struct uvdpa_blk *blk = NULL;
	int log_fd = memfd_create("log", MFD_CLOEXEC), broken = 0;
	struct vhost_user_log log = {.mmap_size = 4096};
	struct front_message answer, m = {.request = VHOST_USER_SET_LOG_BASE,
					  .flags = VHOST_USER_VERSION,
					  .size = sizeof(log),
					  .payload.log = log,
					  .fds = {log_fd},
					  .fd_count = 1};
	void *data;

	session_init(&s, MEMORY);
	if (what == CUT_RECORD)
		bring_record(&s);
	session_start(&s, disk.path, 0);
	if (uvdpa_blk_new(s.memory, s.queue, 4, &blk, &error) < 0)
		return 1;
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	if (uvdpa_blk_read(blk, 0, data, 4096, 1) < 0 || uvdpa_blk_finish(blk, 1, 5000))
		return 2;
	if (ftruncate(log_fd, 4096) < 0 || front_send(s.fd, &m) < 0 ||
	    front_receive(s.fd, &answer) < 0)
		return 3;
	session_send_features(&s, s.features | 1ull << VHOST_F_LOG_ALL);
	uvdpa_blk_read(blk, 0, data, 4096, 2);
	uvdpa_queue_publish(s.queue);
	if (ftruncate(what == CUT_LOG	   ? log_fd
		      : what == CUT_RECORD ? s.inflight_fd
					   : uvdpa_memory_fd(s.memory),
		      0) < 0)
		return 4;
	uvdpa_queue_kick_always(s.queue);
	for (unsigned i = 0; i < 6000 && !broken; i++) {
		broken = device_state(runtime_lock(disk.runtime)) == STATE_BROKEN;
		runtime_unlock(disk.runtime);
		usleep(10000);
	}
	if (!broken)
		return 5;
	if (session_stop(&s) != -1)
		return 6; /* a base is worth nothing then */
	close(log_fd);
	session_hang_up(&s);
	/* the ring lies in memory that is gone, and freeing it may look at it */
	if (what == CUT_MEMORY && ftruncate(uvdpa_memory_fd(s.memory), MEMORY) < 0)
		return 7;
	uvdpa_blk_free(blk);
	session_free(&s);
	return 0;
}

int main(void)
{
	struct holdings before;
	int r;

	logged_begin();
	disk_open(&disk, &(struct disk_options){0});
	before = holdings_now();
	for (unsigned i = 0; i < 6; i++) {
		logged_forget();
		r = life(i % 3);
		if (!r && !logged_soon("memory went away (a truncated file?)"))
			r = 8;
		if (!r && !holdings_return_to(&before))
			r = 9;
		printf("%s cut off: %s (%d)\n", names[i % 3], r ? "WRONG" : "ok", r);
		if (r) {
			logged_print();
			return 1;
		}
	}
	disk_close(&disk);
	return 0;
}
