/*
 * A device that gets into trouble in one case: that case is named, and none of those after it is
 * called broken. The trouble outlives the case's process, as that of a real device does.
 *
 *	check_trouble idle | gone | busy | hangs
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check/options.h"
#include "check/run.h"
#include "sham.h"
#include "wire/vhost.h"

/* What becomes of the device at the first SUSPEND. */
static const struct trouble {
	const char *name;
	unsigned broken;      /* cases that are */
	const char *skipping; /* what the others are skipped with */
} troubles[] = {
	{"idle", 1, "since case S1-1 the device does no work"},
	{"gone", 1, "since case S1-1 the device cannot be opened (trouble: it is gone)"},
	{"busy", 0, "since case S1-1 the device is busy: it has not let go"},
	{"hangs", 1, "since case S1-1 the device does no work"},
};

struct world {
	atomic_bool struck;
	const struct trouble *trouble;
};

static bool is(const struct world *w, const char *name)
{
	return strcmp(w->trouble->name, name) == 0;
}

static struct world *world; /* shared by all processes */
static struct sham sham;
static const struct uvdpa_transport *below;

/* The sham's transport, with what the trouble makes of its calls. */
static int troubled_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	if (cmd == VHOST_VDPA_SET_VRING_ENABLE && atomic_load(&world->struck))
		return 0; /* its rings never run */
	if (cmd == VHOST_VDPA_SUSPEND && !atomic_exchange(&world->struck, true)) {
		if (is(world, "hangs"))
			sleep(1000);
		if (!is(world, "busy"))
			return -EIO;
	}
	return below->ioctl(ctx, cmd, arg);
}

static ssize_t troubled_write(void *ctx, const void *buf, size_t len)
{
	return below->write(ctx, buf, len);
}

static void troubled_close(void *ctx)
{
	below->close(ctx);
}

static const struct uvdpa_transport troubled = {troubled_ioctl, troubled_write, troubled_close};

static int refuse(struct uvdpa_error *error, int code, const char *text)
{
	if (error)
		*error = (struct uvdpa_error){.code = code};
	if (error)
		snprintf(error->text, sizeof(error->text), "trouble: %s", text);
	return code;
}

static int troubled_open(void *arg, unsigned flags, struct uvdpa_driver **drv,
			 struct uvdpa_error *error)
{
	void *ctx = NULL;
	int r;

	if (atomic_load(&world->struck) && is(world, "gone"))
		return refuse(error, -ENODEV, "it is gone");
	if (atomic_load(&world->struck) && is(world, "busy"))
		return refuse(error, -EBUSY, "it has a user");
	r = sham_connect(arg, &below, &ctx);
	return r < 0 ? r
		     : uvdpa_driver_open_transport(&troubled, ctx, "trouble", flags, drv, error);
}

/* How often a line of the report says so. */
static unsigned lines_with(FILE *report, const char *words)
{
	unsigned found = 0;
	char line[2000];

	rewind(report);
	while (fgets(line, sizeof(line), report))
		found += strstr(line, words) != NULL;
	return found;
}

int main(int argc, char **argv)
{
	const struct target target = {"trouble", troubled_open, NULL};
	struct target targets[2] = {target, target};
	struct check_options options;
	struct check_sum sum = {0};
	struct error f = {0};
	FILE *report = tmpfile();
	unsigned skipping, i = 0;

	while (i < 3 && (argc < 2 || strcmp(troubles[i].name, argv[1])))
		i++;
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (world == MAP_FAILED || !report || dup2(fileno(report), STDOUT_FILENO) < 0)
		return 99;
	world->trouble = &troubles[i];
	targets[0].arg = &sham;
	sham_init(&sham, SHAM_CORRECT);
	check_options_init(&options);
	options.target_count = 1;
	options.rounds = 1;
	options.seconds = 1;
	options.deadline = 3;
	options.patience = 600;
	options.format = FORMAT_TAP;
	options.only[options.only_count++] = "status";
	options.only[options.only_count++] = "suspend";
	check_run(&options, targets, &sum, &f);
	skipping = lines_with(report, world->trouble->skipping);
	fprintf(stderr, "%s: %u kept, %u broken, %u skipped, %u of them so: %s\n",
		world->trouble->name, sum.kept, sum.broken, sum.skipped, skipping,
		world->trouble->skipping);
	return sum.broken == world->trouble->broken && sum.kept >= 5 && skipping >= 30 ? 0 : 1;
}
