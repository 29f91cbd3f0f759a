/* How often a kind of line may be in the log: see log_limit.h. */
#include "util/log_limit.h"

#include <stdio.h>
#include <string.h>

static bool is_over(const struct log_kind *kind, uint64_t now)
{
	return now == UINT64_MAX || now - kind->since >= LOG_LIMIT_SECONDS;
}

/* The kind's place; or a free one; or the one that began first. */
static struct log_kind *find(struct log_limit *limit, const char *format, const char *who)
{
	struct log_kind *oldest = &limit->kinds[0];

	for (struct log_kind *k = limit->kinds; k < limit->kinds + LOG_LIMIT_KINDS; k++) {
		if (k->format == format && !strncmp(k->who, who, LOG_LIMIT_WHO - 1))
			return k;
		if (!k->format || (oldest->format && k->since < oldest->since))
			oldest = k;
	}
	return oldest;
}

bool log_limit_allows(struct log_limit *limit, const char *format, const char *who, uint64_t now,
		      struct log_kind *before)
{
	struct log_kind *kind;

	who = who ? who : "";
	kind = find(limit, format, who);
	before->missed = 0;
	if (kind->format != format || strncmp(kind->who, who, LOG_LIMIT_WHO - 1) ||
	    is_over(kind, now)) {
		*before = *kind;
		*kind = (struct log_kind){.format = format, .since = now};
		snprintf(kind->who, sizeof(kind->who), "%s", who);
	}
	if (kind->shown < LOG_LIMIT_LINES) {
		kind->shown++;
		return true;
	}
	kind->missed++;
	return false;
}

bool log_limit_over(struct log_limit *limit, uint64_t now, struct log_kind *over)
{
	for (struct log_kind *k = limit->kinds; k < limit->kinds + LOG_LIMIT_KINDS; k++) {
		if (!k->missed || !is_over(k, now))
			continue;
		*over = *k;
		*k = (struct log_kind){0};
		return true;
	}
	return false;
}
