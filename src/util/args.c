/* Command lines: see args.h. */
#include "util/args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "util/suggest.h"

#define OPTIONS_MAX 31

/* What is being parsed. */
struct cursor {
	int argc, next;
	char **argv;
	const struct arg *table;
	struct error *err;
};

static int unknown_option(struct cursor *c, const char *name)
{
	const char *known[OPTIONS_MAX + 1];
	const char *near;
	unsigned count = 0;

	for (const struct arg *arg = c->table; arg->name && count < OPTIONS_MAX; arg++)
		known[count++] = arg->name;
	known[count] = NULL;
	near = suggest(name, known);
	return error_set(c->err, -EINVAL, "unknown option --%s%s%s%s", name,
			 near ? "; did you mean --" : "", near ? near : "",
			 near ? "?" : " (--help lists them)");
}

static int append(struct arg_list *list, const char *text, struct error *f)
{
	if (list->count == list->max)
		return error_set(f, -EINVAL, "unexpected word '%s' (see --help)", text);
	list->items[list->count++] = text;
	return 0;
}

static int store_value(struct cursor *c, const struct arg *arg, const char *value)
{
	const char **text = arg->to;

	if (!value && c->next < c->argc)
		value = c->argv[c->next++];
	if (!value)
		return error_set(c->err, -EINVAL, "option --%s needs a value", arg->name);
	if (arg->kind == ARG_LIST)
		return append(arg->to, value, c->err);
	if (*text)
		return error_set(c->err, -EINVAL, "option --%s is given twice", arg->name);
	*text = value;
	return 0;
}

static int store(struct cursor *c, const struct arg *arg, const char *value)
{
	if (arg->kind != ARG_FLAG)
		return store_value(c, arg, value);
	if (value)
		return error_set(c->err, -EINVAL, "option --%s takes no value", arg->name);
	*(bool *)arg->to = true;
	return 0;
}

static const struct arg *find(const struct arg *table, const char *name)
{
	while (table->name && strcmp(table->name, name))
		table++;
	return table->name ? table : NULL;
}

static int parse_long(struct cursor *c, char *text)
{
	char *equals = strchr(text, '=');
	const struct arg *arg;
	int ret;

	if (equals)
		*equals = '\0';
	arg = find(c->table, text);
	ret = arg ? store(c, arg, equals ? equals + 1 : NULL) : unknown_option(c, text);
	if (equals)
		*equals = '=';
	return ret;
}

static int parse_short(struct cursor *c, const char *text)
{
	for (const struct arg *arg = c->table; arg->name; arg++)
		if (arg->letter && arg->letter == text[0] && !text[1])
			return store(c, arg, NULL);
	return error_set(c->err, -EINVAL, "unknown option -%s (--help lists them)", text);
}

int args_parse(int argc, char **argv, const struct arg *table, struct arg_list *words,
	       struct error *f)
{
	struct cursor c = {.argc = argc, .next = 1, .argv = argv, .table = table, .err = f};
	bool options = true;
	int ret = 0;

	while (!ret && c.next < argc) {
		char *text = argv[c.next++];

		if (options && !strcmp(text, "--"))
			options = false;
		else if (options && !strncmp(text, "--", 2))
			ret = parse_long(&c, text + 2);
		else if (options && text[0] == '-' && text[1])
			ret = parse_short(&c, text + 1);
		else
			ret = append(words, text, f);
	}
	return ret;
}

int args_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value,
		struct error *f)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || *value < min || *value > max)
		return error_set(f, -EINVAL, "--%s %s: it is a number, %" PRIu64 " to %" PRIu64,
				 option, text, min, max);
	return 0;
}
