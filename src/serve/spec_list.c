/* The devices of a server, from the command line and from files: see spec.h. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "serve/spec.h"

#define LINE_MAX_BYTES 4096

int spec_list_add(struct spec_list *list, const char *text, const char *where, struct error *f)
{
	struct device_spec *grown, spec;
	int ret = spec_parse(text, &spec, f);

	for (unsigned i = 0; !ret && i < list->count; i++) {
		if (strcmp(list->items[i].name, spec.name))
			continue;
		ret = error_set(f, -EEXIST, "name=%s: another device has this name", spec.name);
		spec_free(&spec);
	}
	if (ret)
		return error_prefix(f, "%s", where);
	grown = realloc(list->items, (list->count + 1) * sizeof(spec));
	if (!grown) {
		spec_free(&spec);
		return error_set(f, -ENOMEM, "out of memory");
	}
	grown[list->count++] = spec;
	list->items = grown;
	return 0;
}

/* Cuts off a comment, which begins with a # at the line's begin or after white space. */
static void cut_comment(char *line)
{
	for (char *c = line; *c; c++)
		if (*c == '#' && (c == line || isspace((unsigned char)c[-1])))
			*c-- = '\0';
}

/* Cuts white space off both ends. */
static char *trim(char *line)
{
	char *end = line + strlen(line);

	while (end > line && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

static int read_lines(struct spec_list *list, FILE *file, const char *path, struct error *f)
{
	char line[LINE_MAX_BYTES], where[160];
	int ret = 0;

	for (unsigned number = 1; !ret && fgets(line, sizeof(line), file); number++) {
		bool whole = strlen(line) < sizeof(line) - 1;
		const char *text;

		snprintf(where, sizeof(where), "%.120s, line %u", path, number);
		if (!whole)
			return error_set(f, -EINVAL, "%s: longer than %d bytes", where,
					 LINE_MAX_BYTES - 2);
		cut_comment(line);
		text = trim(line);
		if (*text)
			ret = spec_list_add(list, text, where, f);
	}
	if (!ret && ferror(file))
		ret = error_set(f, -EIO, "%s: cannot be read", path);
	return ret;
}

int spec_list_read(struct spec_list *list, const char *path, struct error *f)
{
	FILE *file = fopen(path, "re");
	int ret;

	if (!file)
		return error_set(f, -errno, "--config %s: %s", path, strerror(errno));
	ret = read_lines(list, file, path, f);
	fclose(file);
	return ret;
}

/* One says where a shared worker runs, or all say the same. */
static int check_workers(const struct spec_list *list, struct error *f)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct device_spec *one = &list->items[i];

		for (unsigned k = 0; one->worker && k < i; k++) {
			const struct device_spec *other = &list->items[k];

			if (!other->worker || strcmp(one->worker, other->worker) ||
			    one->cpu == other->cpu || one->cpu == SPEC_ANY_CPU ||
			    other->cpu == SPEC_ANY_CPU)
				continue;
			return error_set(f, -EINVAL,
					 "device '%s', cpu=%" PRIu64
					 ": device '%s' has worker '%s' "
					 "run on processor %" PRIu64,
					 one->name, one->cpu, other->name, one->worker, other->cpu);
		}
	}
	return 0;
}

int spec_list_check(const struct spec_list *list, struct error *f)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct device_spec *spec = &list->items[i];
		unsigned k = 0;

		if (!spec->pair)
			continue;
		while (k < list->count && strcmp(list->items[k].name, spec->pair))
			k++;
		if (k == list->count || !list->items[k].pair ||
		    strcmp(list->items[k].pair, spec->name))
			return error_set(
				f, -EINVAL,
				"device '%s', pair=%s: there is no card '%s' here that says "
				"pair=%s",
				spec->name, spec->pair, spec->pair, spec->name);
	}
	return check_workers(list, f);
}

void spec_list_free(struct spec_list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		spec_free(&list->items[i]);
	free(list->items);
	*list = (struct spec_list){0};
}
