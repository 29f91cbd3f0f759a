/* Findings by their roots: see findings.h. */
#include "check/findings.h"

#include <stdlib.h>
#include <string.h>

#include "check/basis.h"
#include "check/case.h"

static struct finding **all;
static size_t count;

/* Without a known root, cases that expect the same by the same sentence have one. */
static bool same_root(const struct outcome *a, const struct outcome *b)
{
	if (a->root[0] || b->root[0])
		return strcmp(a->root, b->root) == 0;
	return strcmp(a->expected, b->expected) == 0 && strcmp(a->by, b->by) == 0;
}

static struct finding *find(const struct outcome *out)
{
	for (size_t i = 0; i < count; i++)
		if (all[i]->out.verdict == out->verdict && same_root(&all[i]->out, out))
			return all[i];
	return NULL;
}

static struct finding *make(const struct check *c)
{
	struct finding **more = realloc(all, (count + 1) * sizeof(*all));
	struct finding *f = more ? calloc(1, sizeof(*f)) : NULL;

	if (more)
		all = more;
	if (!f)
		return NULL;
	f->kase = c->kase;
	f->out = *c->out;
	f->wire = *c->wire;
	all[count++] = f;
	return f;
}

void findings_add(const struct check *c)
{
	struct finding *f = find(c->out);

	if (!f)
		f = make(c);
	if (f && f->count < FINDING_CASES)
		f->cases[f->count++] = c->kase;
}

const struct finding *findings_get(size_t i)
{
	return i < count ? all[i] : NULL;
}

void findings_clear(void)
{
	for (size_t i = 0; i < count; i++)
		free(all[i]);
	free(all);
	all = NULL;
	count = 0;
}

const char *finding_severity(const struct finding *finding)
{
	if (finding->out.verdict == VERDICT_BROKEN)
		return "broken";
	return sentence_basis(finding->out.by) == BASIS_ROBUSTNESS ? "robustness" : "contract";
}
