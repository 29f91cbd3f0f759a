/*
 * uvdpa serve: opens everything, then serves until it is told to stop.
 *
 * The order is the promise: all words are checked and all backends opened
 * before the first export opens, so a mistake is one line and exit 1, never half
 * a server. Closing goes the other way round.
 */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/ending.h"
#include "serve/notify.h"
#include "serve/parts.h"
#include "serve/rundir.h"
#include "serve/spec.h"
#include "cmd/verb.h"
#include "client/map.h"
#include "runtime/runtime.h"
#include "util/args.h"
#include "util/log.h"

static void help(FILE *to)
{
	fputs("Serves virtio devices: each is a vhost-vdpa file, DIR/vdpa/NAME.\n"
	      "\n"
	      "Usage: uvdpa serve [--dir DIR] --device TYPE,KEY=VALUE,... [--device ...]\n"
	      "                   [--config FILE] [--mode OCTAL] [--group GROUP]\n"
	      "                   [--client-files PATH] [-v]\n"
	      "\n"
	      "  --dir DIR      where files and control socket appear; default\n"
	      "                 $XDG_RUNTIME_DIR/uvdpa, or /run/uvdpa; of its own user only\n"
	      "  --device ...   a device; may be repeated. A comma in a value is doubled\n"
	      "  --config FILE  devices from a file, one per line as after --device;\n"
	      "                 # begins a comment, also behind one. May be repeated\n"
	      "  --mode OCTAL   permissions of device files (0600)\n"
	      "  --group GROUP  their group; with --mode 0660, --group kvm lets a VMM in\n"
	      "  --client-files PATH\n"
	      "                 map clients' memory also from files of the file system that\n"
	      "                 PATH is on, or from this device (/dev/dax0.0). Else only memfd,\n"
	      "                 shared memory and hugetlbfs are. May be repeated\n"
	      "  -v, --verbose  log every step of a device's life\n"
	      "\n"
	      "Sizes take the suffixes K, M, G, T. Keys (with defaults):\n",
	      to);
	spec_help(to);
	fputs("\n"
	      "It stays in the foreground, logs to stderr, and ends cleanly on SIGTERM,\n"
	      "SIGINT or SIGHUP. Exit status: 0 ended as asked, 1 something could not be opened "
	      "(then\n"
	      "nothing was served).\n"
	      "\n"
	      "Example:\n"
	      "  uvdpa serve --device blk,name=disk0,file=disk.img\n",
	      to);
}

struct options {
	const char *dir, *mode, *group;
	bool verbose;
	struct arg_list devices, configs, client_files;
};

static int parse(int argc, char **argv, struct options *options, struct error *f)
{
	const struct arg table[] = {
		{"dir", 0, ARG_TEXT, &options->dir},
		{"device", 0, ARG_LIST, &options->devices},
		{"mode", 0, ARG_TEXT, &options->mode},
		{"group", 0, ARG_TEXT, &options->group},
		{"config", 0, ARG_LIST, &options->configs},
		{"client-files", 0, ARG_LIST, &options->client_files},
		{"verbose", 'v', ARG_FLAG, &options->verbose},
		{NULL},
	};
	const char *word = NULL;
	struct arg_list words = {&word, 0, 1};
	int ret = args_parse(argc, argv, table, &words, f);

	if (!ret && word)
		ret = error_set(f, -EINVAL,
				"unexpected word '%s': a disk is --device blk,name=disk0,file=PATH",
				word);
	return ret;
}

static int collect_specs(const struct options *options, struct spec_list *specs, struct error *f)
{
	char where[64];
	int ret = 0;

	for (unsigned i = 0; !ret && i < options->devices.count; i++) {
		snprintf(where, sizeof(where), "--device %.40s", options->devices.items[i]);
		ret = spec_list_add(specs, options->devices.items[i], where, f);
	}
	for (unsigned i = 0; !ret && i < options->configs.count; i++)
		ret = spec_list_read(specs, options->configs.items[i], f);
	if (!ret)
		ret = spec_list_check(specs, f);
	if (!ret && !specs->count)
		ret = error_set(
			f, -EINVAL,
			"nothing to serve: give --device blk,name=NAME,file=PATH (see uvdpa "
			"serve --help)");
	return ret;
}

/* Who may open the device files. */
static int parse_access(const struct options *options, struct server *server, struct error *f)
{
	const struct group *group;
	char *end = "";

	server->mode = 0600;
	server->group = (gid_t)-1;
	if (options->mode)
		server->mode = (mode_t)strtoul(options->mode, &end, 8);
	if (*end || !(server->mode & 0600) || server->mode & ~(mode_t)0666)
		return error_set(f, -EINVAL, "--mode %s: it is an octal number like 0660",
				 options->mode);
	if (!options->group)
		return 0;
	group = getgrnam(options->group);
	if (!group)
		return error_set(f, -EINVAL, "--group %s: there is no such group", options->group);
	server->group = group->gr_gid;
	return 0;
}

static void close_devices(struct server *server)
{
	for (unsigned i = 0; i < server->count; i++)
		if (server->runtimes[i])
			runtime_free(server->runtimes[i]);
	free(server->runtimes);
	server->runtimes = NULL;
}

static int open_devices(struct server *server, struct error *f)
{
	int ret = 0;

	server->runtimes = calloc(server->count, sizeof(struct runtime *));
	server->ends = calloc(server->count, sizeof(struct packet *));
	if (!server->runtimes || !server->ends)
		ret = error_set(f, -ENOMEM, "out of memory");
	for (unsigned i = 0; !ret && i < server->count; i++) {
		ret = parts_open(server, i, f);
		if (ret)
			error_prefix(f, "device '%s'", server->specs[i].name);
	}
	if (ret && server->runtimes && server->ends) {
		parts_close_ends(server);
		close_devices(server);
	}
	free(server->ends);
	server->ends = NULL;
	return ret;
}

/* A device takes seven descriptors, a client more: the usual soft limit of 1024 is soon over. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Who has a device now, and is about to lose it. */
static void say_who_suffers(const struct server *server)
{
	char who[96];

	for (unsigned i = 0; i < server->count; i++) {
		runtime_owner(server->runtimes[i], who, sizeof(who));
		if (who[0])
			log_warning(server->specs[i].name, "%s has it, and loses it now", who);
	}
}

/* Closes the exports that are open, the last one first; or only those that stay (not) to the last.
 */
static void close_exports(struct server *server, void **exports, bool to_the_last)
{
	for (unsigned i = parts_export_count; i-- > 0;) {
		if (!exports[i] || parts_exports[i].to_the_last != to_the_last)
			continue;
		if (parts_exports[i].close(exports[i])) {
			log_warning(NULL, "a client keeps the export '%s' open: left as it is",
				    parts_exports[i].name);
			server->in_use = true;
		}
		exports[i] = NULL;
	}
}

/* All together, so that many that are stuck take no longer than one. */
static void drain(struct server *server, void **exports)
{
	for (unsigned i = 0; i < parts_export_count; i++)
		if (exports[i] && parts_exports[i].end)
			parts_exports[i].end(exports[i]);
	close_exports(server, exports, false);
	for (unsigned i = 0; i < server->count && !server->in_use; i++)
		runtime_end(server->runtimes[i]);
	for (unsigned i = 0; i < server->count && !server->in_use; i++)
		runtime_wait_end(server->runtimes[i]);
}

static void serve_until_told(struct server *server, void **exports, const sigset_t *signals)
{
	const char *s = server->count == 1 ? "" : "s";

	if (exports[0])
		log_info(NULL, "serving %u device%s below %s", server->count, s, server->vdpa);
	else
		log_info(NULL, "serving %u device%s by sockets", server->count, s);
	notify("READY=1\nSTATUS=serving\n");
	ending_wait(signals, exports[0] ? server->vdpa : NULL);
	notify("STOPPING=1\nSTATUS=draining\n");
	say_who_suffers(server);
}

/* Opens export after export; serves behind the last one. */
static int serve_exports(struct server *server, const sigset_t *signals, struct error *f)
{
	void **exports = calloc(parts_export_count, sizeof(*exports));
	int ret = exports ? 0 : error_set(f, -ENOMEM, "out of memory");
	unsigned i;

	for (i = 0; !ret && i < parts_export_count; i++) {
		ret = parts_exports[i].open(server, &exports[i], f);
		if (ret)
			exports[i] = NULL;
	}
	if (!ret)
		serve_until_told(server, exports, signals);
	if (!ret)
		drain(server, exports);
	if (exports) {
		close_exports(server, exports, true);
		close_exports(server, exports, false);
	}
	free(exports);
	return ret;
}

/* Whose files clients may bring as memory, besides memory files. */
static int allow_files(const struct options *options, struct error *f)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < options->client_files.count; i++)
		ret = client_map_allow(options->client_files.items[i], f);
	return ret ? error_prefix(f, "--client-files") : 0;
}

static int serve_specs(const struct options *options, const struct spec_list *specs,
		       struct error *f)
{
	struct server server = {.specs = specs->items, .count = specs->count};
	struct rundir rundir;
	sigset_t signals;
	int ret = parse_access(options, &server, f);

	if (!ret)
		ret = allow_files(options, f);
	if (ret)
		return ret;
	/* before the first thread starts: threads inherit the mask */
	ending_prepare(&signals);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	log_begin();

	ret = rundir_take(options->dir, &rundir, f);
	if (ret)
		return ret;
	server.vdpa = rundir.vdpa;
	server.control = rundir.control;
	ret = open_devices(&server, f);
	if (!ret) {
		ret = serve_exports(&server, &signals, f);
		if (!server.in_use)
			close_devices(&server);
	}
	rundir_leave(&rundir);
	return ret;
}

static int run(int argc, char **argv)
{
	struct options options = {0};
	struct spec_list specs = {0};
	const char **room = calloc((size_t)argc * 3, sizeof(*room));
	struct error f;
	int ret;

	if (!room)
		return EXIT_REFUSED;
	options.devices = (struct arg_list){room, 0, (unsigned)argc};
	options.configs = (struct arg_list){room + argc, 0, (unsigned)argc};
	options.client_files = (struct arg_list){room + 2 * argc, 0, (unsigned)argc};
	ret = parse(argc, argv, &options, &f);
	if (options.verbose)
		log_set_level(LOG_LEVEL_TRACE);
	if (!ret)
		ret = collect_specs(&options, &specs, &f);
	if (!ret)
		ret = serve_specs(&options, &specs, &f);
	log_end();
	spec_list_free(&specs);
	free(room);
	return ret ? complain(&f) : EXIT_OK;
}

const struct verb verb_serve = {
	.name = "serve",
	.summary = "serve devices until told to stop",
	.help = help,
	.run = run,
};
