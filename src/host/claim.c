/* Who has a device: one client at a time, over all doors. See runner.h. */
#include <errno.h>
#include <stdio.h>

#include "host/runner_internal.h"

/* The name may hold what a process called itself: it goes into logs and JSON as plain ASCII. */
static void set_claimant(struct runner *runner, const char *who)
{
	snprintf(runner->claimant, sizeof(runner->claimant), "%s", *who ? who : "somebody");
	for (char *p = runner->claimant; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

int runner_claim(struct runner *runner, const char *who, struct fault *fault_out)
{
	int ret = 0;

	pthread_mutex_lock(&runner->claim_lock);
	if (runner->claimant[0])
		ret = fault(fault_out, -EBUSY,
			    "device '%s' is in use by %s; it serves one at a time",
			    device_name(runner->device), runner->claimant);
	else
		set_claimant(runner, who);
	pthread_mutex_unlock(&runner->claim_lock);
	return ret;
}

void runner_unclaim(struct runner *runner)
{
	pthread_mutex_lock(&runner->claim_lock);
	runner->claimant[0] = '\0';
	pthread_mutex_unlock(&runner->claim_lock);
}

void runner_claimant(struct runner *runner, char *buffer, size_t size)
{
	pthread_mutex_lock(&runner->claim_lock);
	snprintf(buffer, size, "%s", runner->claimant);
	pthread_mutex_unlock(&runner->claim_lock);
}
