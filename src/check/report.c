/* Reports: what their formats share, and which of them is asked for. */
#include "check/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check/report_internal.h"

static const struct report none;

static const struct report *format_of(const struct check_options *o)
{
	switch (o->format) {
	case FORMAT_TABLE:
		return &report_table;
	case FORMAT_TAP:
		return &report_tap;
	case FORMAT_JSON:
		return &report_json;
	case FORMAT_JUNIT:
		return &report_junit;
	case FORMAT_MARKDOWN:
		return &report_markdown;
	case FORMAT_NONE:
		return &none;
	default:
		return isatty(STDOUT_FILENO) ? &report_table : &report_tap;
	}
}

const char *report_verdict(enum verdict v)
{
	static const char *const words[] = {"none", "kept", "broken", "skipped", "differs"};

	return words[v];
}

bool report_is_finding(const struct outcome *out)
{
	return out->verdict == VERDICT_BROKEN || out->verdict == VERDICT_DIFFERS;
}

const char *report_requirement(const struct outcome *out)
{
	const char *words = sentence_words(out->by);

	return words ? words : "";
}

void report_lines(const char *before, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		printf("%s%.*s\n", before, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

/* A word of the shell's; in quotes if it has to. */
static void add_word(char *text, size_t size, const char *option, const char *word)
{
	size_t used = strlen(text);
	bool plain = word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789/._-+=:,@")] == 0;
	int n = snprintf(text + used, size - used, " %s%s%s", option, *option ? " " : "",
			 plain ? word : "'");

	used += n > 0 ? (size_t)n : 0;
	for (; !plain && used + 6 < size && *word; word++) {
		n = snprintf(text + used, size - used, *word == '\'' ? "'\\''" : "%c", *word);
		used += n > 0 ? (size_t)n : 0;
	}
	if (!plain && used + 2 < size)
		snprintf(text + used, size - used, "'");
}

static void add_number(char *text, size_t size, const char *option, unsigned long long number)
{
	char word[24];

	snprintf(word, sizeof(word), "%llu", number);
	add_word(text, size, option, word);
}

void report_reproduction(const struct check *c, const struct check_case *kase, char *text,
			 size_t size)
{
	const struct check_options *o = c->options;

	snprintf(text, size, "uvdpa check");
	for (unsigned i = 0; i < o->target_count; i++)
		add_word(text, size, "", c->targets[i].name);
	add_word(text, size, "--only", kase->id);
	add_number(text, size, "--seed", o->seed);
	add_number(text, size, "--rounds", o->rounds);
	add_number(text, size, "--seconds", o->seconds);
	if (o->scratch)
		add_word(text, size, "", "--scratch");
	if (o->lossless)
		add_word(text, size, "", "--lossless");
	if (o->device_id)
		add_number(text, size, "--type", o->device_id);
	if (o->control)
		add_word(text, size, "--control", o->control);
	if (o->restart)
		add_word(text, size, "--restart", o->restart);
}

void report_begin(const struct check *c, unsigned count)
{
	const struct report *report = format_of(c->options);

	findings_clear();
	if (report->begin)
		report->begin(c, count);
	fflush(stdout);
}

void report_case(const struct check *c)
{
	const struct report *report = format_of(c->options);

	if (report_is_finding(c->out))
		findings_add(c);
	if (report->one)
		report->one(c);
	fflush(stdout);
}

void report_end(const struct check *c, const struct check_sum *s)
{
	const struct report *report = format_of(c->options);

	if (report->end)
		report->end(c, s);
	findings_clear();
	fflush(stdout);
}

static void list_case(const struct check_case *k)
{
	char needs[200];

	case_needs_words(k->needs, needs, sizeof(needs));
	printf("%-8s %-8s %c  %s [%s]%s%s%s%s\n", k->group, k->id, k->class, k->what, k->clause,
	       k->user ? " on a socket: " : "", k->user ? k->user : "", needs[0] ? " needs: " : "",
	       needs);
}

void report_list(const struct check_options *options)
{
	const struct check_case *cases;
	bool json = options->format == FORMAT_JSON;
	unsigned shown = 0;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++) {
		if (!check_options_selects(options, &cases[i]))
			continue;
		if (json) {
			printf("%s{", shown ? ",\n " : "[");
			report_json_facts(&cases[i]);
			printf("}");
		} else {
			list_case(&cases[i]);
		}
		shown++;
	}
	if (json)
		printf("%s]\n", shown ? "" : "[");
	else
		printf("%u cases; M: must, K: a habit of Linux, D: the device decides\n", shown);
}
