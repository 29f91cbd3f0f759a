/* Crews by name: see roster.h. */
#include "runtime/roster.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	struct crew *crew;
	unsigned users;
	bool pinned;
	unsigned cpu;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries; /* [lock], and what is in them */

/* With a worker, and no users yet. */
static int add(const char *name, struct entry **out, struct fault *fault_out)
{
	struct entry *entry = calloc(1, sizeof(*entry) + strlen(name) + 1);
	int ret;

	if (!entry)
		return fault(fault_out, -ENOMEM, "no memory for worker '%s'", name);
	memcpy(entry->name, name, strlen(name) + 1);
	ret = crew_new(name, &entry->crew, fault_out);
	if (ret) {
		free(entry);
		return ret;
	}
	entry->next = entries;
	entries = entry;
	*out = entry;
	return 0;
}

static int pin(struct entry *entry, unsigned cpu, struct fault *fault_out)
{
	int ret;

	if (entry->pinned && entry->cpu != cpu)
		return fault(fault_out, -EINVAL,
			     "worker '%s' runs on processor %u, as another device wants it, and "
			     "cannot run on %u",
			     entry->name, entry->cpu, cpu);
	ret = worker_pin(entry->crew->worker, cpu);
	if (ret)
		return fault(fault_out, ret, "worker '%s' cannot run on processor %u: %s",
			     entry->name, cpu, strerror(-ret));
	entry->pinned = true;
	entry->cpu = cpu;
	return 0;
}

/* Takes it out of the list if nobody uses it. Returns what is then to be freed without the lock. */
static struct entry *drop(struct entry *entry)
{
	struct entry **at = &entries;

	if (entry->users)
		return NULL;
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	return entry;
}

static void dispose(struct entry *entry)
{
	if (!entry)
		return;
	crew_free(entry->crew);
	free(entry);
}

int roster_take(const char *name, const unsigned *cpu, struct crew **crew, struct fault *fault_out)
{
	struct entry *entry, *unused = NULL;
	int ret = 0;

	pthread_mutex_lock(&lock);
	for (entry = entries; entry && strcmp(entry->name, name);)
		entry = entry->next;
	if (!entry)
		ret = add(name, &entry, fault_out);
	if (!ret && cpu)
		ret = pin(entry, *cpu, fault_out);
	if (!ret) {
		entry->users++;
		*crew = entry->crew;
	} else if (entry) {
		unused = drop(entry);
	}
	pthread_mutex_unlock(&lock);
	dispose(unused);
	return ret;
}

void roster_give_back(struct crew *crew)
{
	struct entry *entry, *unused;

	pthread_mutex_lock(&lock);
	for (entry = entries; entry->crew != crew;)
		entry = entry->next;
	entry->users--;
	unused = drop(entry);
	pthread_mutex_unlock(&lock);
	dispose(unused);
}
