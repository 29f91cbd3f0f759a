/*
 * Cases: several parties that hold a device (S14), and config changes that are held (S5), with the
 * operator's side played through the control socket of uvdpa's own devices (--control DIR).
 *
 * The protocol is a line of JSON each way. Nothing of the answer matters but whether it is an
 * error, so that this needs no parser.
 */
#include "check/cases.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"

static int reach(struct check *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/control",
			 c->options->control);

	if (fd < 0 || n < 0 || (size_t)n >= sizeof(address.sun_path) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		skip(c, "%s/control: cannot be reached: %s", c->options->control, strerror(errno));
	return fd;
}

/* The device's name: the last part of its path, for a vhost-user socket without ".sock". */
static const char *device_name(const struct check *c)
{
	const char *slash = strrchr(c->targets[0].name, '/');
	const char *last = slash ? slash + 1 : c->targets[0].name;
	const char *suffix = strstr(last, ".sock");
	static char name[128];

	snprintf(name, sizeof(name), "%.*s",
		 suffix && !suffix[5] ? (int)(suffix - last) : (int)strlen(last), last);
	return name;
}

/* One command, `more` being further arguments; its line of answer. */
static void ask(struct check *c, const char *command, const char *more, char *line, size_t size)
{
	char text[300];
	struct pollfd p;
	int fd = reach(c), n;
	size_t got = 0;

	n = snprintf(text, sizeof(text),
		     "{\"id\": 1, \"command\": \"%s\", \"arguments\": {\"name\": \"%s\"%s}}\n",
		     command, device_name(c), more);
	doing(c, "the operator's %s", command);
	if (n < 0 || (size_t)n >= sizeof(text) || write(fd, text, (size_t)n) != n)
		skip(c, "the control socket does not listen");
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	while (got + 1 < size && poll(&p, 1, 10000) == 1) {
		ssize_t r = read(fd, line + got, size - 1 - got);

		if (r <= 0)
			break;
		got += (size_t)r;
		if (line[got - 1] == '\n')
			break;
	}
	line[got] = 0;
	close(fd);
	doing(c, "after the operator's %s", command);
}

static void must(struct check *c, const char *command, const char *more)
{
	char line[4096], expected[100];

	ask(c, command, more, line, sizeof(line));
	snprintf(expected, sizeof(expected), "the operator can %s the device (S14)", command);
	if (!strstr(line, "\"return\""))
		broken(c, expected, "%.400s", line[0] ? line : "no answer");
}

/* Whatever happens: the operator must not leave the device held. */
static void let_go(struct check *c)
{
	char line[4096];

	ask(c, "resume", "", line, sizeof(line));
}

static void watch_tempted(struct rig *rig, const char *when)
{
	struct still s;

	load_post(rig, 2);
	still_take(rig, &s, STILL_ALL);
	rig_kick(rig);
	check_sleep(WATCH_US);
	still_check(rig, &s, when);
}

static void s14_1(struct check *c)
{
	struct rig rig;

	let_go(c);
	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "at first");
	must(c, "suspend", "");
	watch_tempted(&rig, "held by the operator");
	must(c, "resume", "");
	load_must_settle(&rig, "after the operator's resume");
}

static void s14_3(struct check *c)
{
	struct rig rig;

	let_go(c);
	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "at first");
	rig_suspend(&rig);
	must(c, "suspend", "");
	rig_resume(&rig);
	watch_tempted(&rig, "held by the operator still, after the driver's RESUME");
	must(c, "resume", "");
	load_must_settle(&rig, "when nobody holds the device");
	must(c, "suspend", "");
	rig_suspend(&rig);
	must(c, "resume", "");
	watch_tempted(&rig, "held by the driver still, after the operator's resume");
	rig_resume(&rig);
	load_must_settle(&rig, "when nobody holds the device again");
}

static void s14_4(struct check *c)
{
	struct rig rig;
	uint32_t used;

	let_go(c);
	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "at first");
	must(c, "suspend", "");
	rig_reset(&rig);
	rig_negotiate(&rig);
	rig_start(&rig);
	load_post(&rig, 2);
	used = rig_used(&rig, rig.work);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	if (rig_used(&rig, rig.work) != used) {
		let_go(c);
		broken(c, "the operator's hold outlives the driver's reset (S14)",
		       "the used index went from %u to %u", used, rig_used(&rig, rig.work));
	}
	must(c, "resume", "");
	load_must_settle(&rig, "after the operator's resume");
}

static bool config_called(struct rig *rig, int milliseconds)
{
	struct pollfd p = {.fd = rig->config_call, .events = POLLIN};
	uint64_t count;

	return poll(&p, 1, milliseconds) == 1 &&
	       read(rig->config_call, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static uint64_t capacity(struct rig *rig)
{
	struct uvdpa_blk_config config = {0};

	uvdpa_blk_read_config(rig->drv, &config, NULL);
	return config.capacity;
}

/* Disks can grow and not shrink: it stays larger, by one MiB. */
static void s5_4(struct check *c)
{
	uint64_t larger = c->facts->capacity + 2048;
	char bytes[60];
	struct rig rig;
	struct still s;

	let_go(c);
	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	rig_suspend(&rig);
	still_take(&rig, &s, STILL_CONFIG);
	snprintf(bytes, sizeof(bytes), ", \"bytes\": %llu", (unsigned long long)larger * 512);
	must(c, "resize", bytes);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "though the operator changed the disk's size while suspended");
	rig_resume(&rig);
	if (!config_called(&rig, (int)c->options->patience))
		broken(c, "a config change that was held is announced after RESUME (S5)",
		       "no config call within %d ms", (int)c->options->patience);
	if (capacity(&rig) != larger)
		broken(c, "and then shows (S5)", "capacity %llu instead of %llu",
		       (unsigned long long)capacity(&rig), (unsigned long long)larger);
	if (config_called(&rig, 30))
		broken(c, "it is announced once (S5)", "twice");
}

const struct check_case hold_cases[] = {
	{"S5-4", "config", "S5",
	 "a change of size while suspended is held, and told once after RESUME", 'M',
	 NEED_CYCLE | NEED_BLK | NEED_CONTROL | NEED_SCRATCH, s5_4},
	{"S14-1", "suspend", "S14", "the operator suspends and resumes a device in use", 'M',
	 NEED_LOAD | NEED_CONTROL, s14_1},
	{"S14-3", "suspend", "S14", "driver and operator hold a device; it runs when neither does",
	 'M', NEED_CYCLE | NEED_CONTROL, s14_3},
	{"S14-4", "suspend", "S14", "the operator's hold outlives a reset", 'M',
	 NEED_LOAD | NEED_CONTROL, s14_4},
};
CASE_COUNT(hold);
