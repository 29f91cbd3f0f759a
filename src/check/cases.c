/* The table of all cases, put together from the groups' files. */
#include "check/cases.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "check/case.h"
#include "util/suggest.h"

static const struct {
	const struct check_case *cases;
	const size_t *count;
} tables[] = {
	{uapi_cases, &uapi_case_count},
	{status_cases, &status_case_count},
	{queue_cases, &queue_case_count},
	{iotlb_cases, &iotlb_case_count},
	{ring_cases, &ring_case_count},
	{suspend_cases, &suspend_case_count},
	{linux_cases, &linux_case_count},
	{exchange_cases, &exchange_case_count},
	{race_cases, &race_case_count},
	{resume_cases, &resume_case_count},
	{restore_cases, &restore_case_count},
	{config_cases, &config_case_count},
	{blk_cases, &blk_case_count},
	{net_cases, &net_case_count},
	{net_control_cases, &net_control_case_count},
	{user_cases, &user_case_count},
	{hold_cases, &hold_case_count},
	{packed_cases, &packed_case_count},
	{peers_cases, &peers_case_count},
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))
#define MOST   600

static struct check_case all[MOST];
static size_t all_count;
static char twin_ids[MOST][12];
static bool put_together;

static bool has_twin(const struct check_case *kase)
{
	return kase->needs & NEED_LOAD && !(kase->needs & (NEED_SPLIT | NEED_PACKED));
}

/* The same once more, on packed rings. */
static void add_twins(void)
{
	size_t count = all_count;

	for (size_t i = 0; i < count && all_count < MOST; i++) {
		struct check_case twin = all[i];

		if (!has_twin(&twin))
			continue;
		snprintf(twin_ids[all_count], sizeof(twin_ids[0]), "%sp", twin.id);
		twin.id = twin_ids[all_count];
		twin.needs |= NEED_PACKED;
		all[all_count++] = twin;
	}
}

const struct check_case *cases_all(size_t *count)
{
	for (size_t t = 0; !put_together && t < TABLES; t++)
		for (size_t i = 0; i < *tables[t].count && all_count < MOST; i++)
			all[all_count++] = tables[t].cases[i];
	if (!put_together)
		add_twins();
	put_together = true;
	*count = all_count;
	return all;
}

const struct check_case *case_find(const char *id)
{
	const struct check_case *cases;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(cases[i].id, id) == 0)
			return &cases[i];
	return NULL;
}

int case_group_exists(const char *group)
{
	const struct check_case *cases;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(cases[i].group, group) == 0)
			return 1;
	return 0;
}

const char *case_suggest(const char *word)
{
	static const char *known[2 * MOST + 1];
	const struct check_case *cases;
	size_t count, used = 0;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++) {
		known[used++] = cases[i].id;
		/* cases of a group stand together */
		if (!i || strcmp(cases[i].group, cases[i - 1].group) != 0)
			known[used++] = cases[i].group;
	}
	known[used] = NULL;
	return suggest(word, known);
}

char *case_needs_words(unsigned needs, char *buffer, size_t size)
{
	static const char *const words[] = {
		"suspend",	"resume",  "blk",	 "net",	      "load",
		"scratch",	"two",	   "file",	 "asids",     "event idx",
		"indirect",	"control", "no suspend", "no resume", "persist",
		"loopback",	"cvq",	   "16 entries", "groups",    "split rings",
		"packed rings", "socket",  "in order",	 "config",    "memory slots",
	};
	size_t used = 0;

	buffer[0] = 0;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(needs >> i & 1) || used >= size)
			continue;
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", used ? ", " : "",
					 words[i]);
	}
	return buffer;
}
