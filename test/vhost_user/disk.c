/* A disk on a vhost-user socket: see disk.h. */
#include "vhost_user/disk.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/vhost_user/memory.h"
#include "model/models.h"

#define PATIENCE_MS 60000

static struct block *open_block(const struct disk_options *o)
{
	struct block_file_options file = {.path = o->file, .share = true, .wait_ms = 2000};
	struct error f = {0};
	struct block *block = NULL, *inner;
	int r = o->file ? block_file_open(&file, &block, &f)
			: block_memory_open(o->size ? o->size : 16 << 20, &block, &f);

	if (r == 0 && o->trouble) {
		inner = block;
		r = block_fault_open(o->trouble, inner, &block, &f);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", f.text);
	assert(r == 0);
	return block;
}

void disk_open(struct disk *disk, const struct disk_options *o)
{
	static unsigned number;
	struct runtime_options options = {
		.device = {.name = "disk0",
			   .queue_size = 256,
			   .asids = 1,
			   .packed = o->packed,
			   .ring_reset = o->ring_reset,
			   .no_suspend = o->no_suspend,
			   .no_resume = o->no_resume,
			   .suspend_timeout_ms = o->timeout_ms ? o->timeout_ms : 5000}};
	struct blk_options blk = {.queues = o->queues ? o->queues : 1,
				  .queue_size = 256,
				  .serial = "test",
				  .write_cache = true};
	struct vhost_user_options export = {0};
	struct model *model = NULL;
	struct error f = {0};
	const char *made;
	int r;

	memset(disk, 0, sizeof(*disk));
	if (o->path) {
		snprintf(disk->path, sizeof(disk->path), "%s", o->path);
	} else {
		snprintf(disk->dir, sizeof(disk->dir), "/tmp/uvdpa-vu-XXXXXX");
		made = mkdtemp(disk->dir);
		assert(made);
		snprintf(disk->path, sizeof(disk->path), "%s/%u.sock", disk->dir, number++);
	}
	r = blk_new(&blk, open_block(o), &model, &f);
	if (r == 0)
		r = runtime_new(&options, model, &disk->runtime, &f);
	export.path = disk->path;
	export.client = o->reconnect_ms != 0;
	export.reconnect_ms = o->reconnect_ms;
	if (r == 0)
		r = vhost_user_open(&export, disk->runtime, &disk->export, &f);
	if (r < 0)
		fprintf(stderr, "%s\n", f.text);
	assert(r == 0);
}

void disk_close(struct disk *disk)
{
	vhost_user_close(disk->export);
	runtime_free(disk->runtime);
	if (disk->dir[0])
		rmdir(disk->dir);
}

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned count_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:") != NULL;
	fclose(maps);
	return n;
}

struct holdings holdings_now(void)
{
	return (struct holdings){.fds = count_entries("/proc/self/fd"),
				 .threads = count_entries("/proc/self/task"),
				 .maps = count_maps(),
				 .regions = vu_memory_mapped()};
}

bool holdings_return_to(const struct holdings *before)
{
	struct holdings now = holdings_now();

	for (unsigned i = 0; i < PATIENCE_MS && memcmp(&now, before, sizeof(now)); i++) {
		usleep(1000);
		now = holdings_now();
	}
	if (!memcmp(&now, before, sizeof(now)))
		return true;
	fprintf(stderr,
		"left: descriptors %u of %u, threads %u of %u, mappings %u of %u, regions %u of "
		"%u\n",
		now.fds, before->fds, now.threads, before->threads, now.maps, before->maps,
		now.regions, before->regions);
	return false;
}
