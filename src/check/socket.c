/*
 * What a vhost-user socket cannot be asked: the cases that try a call, an argument or a kind of
 * memory which that protocol does not have, or which the driver library answers without the device.
 */
#include "check/basis.h"
#include "check/case.h"
#include "check/target.h"

#include <stdbool.h>
#include <string.h>

static const struct {
	const char *why;
	const char *ids[16];
} groups[] = {
	{"vhost-user has no owner: the connection is it", {"KC03", "KC05", "KC06", "KI06"}},
	{"it is about ioctls and IOTLB messages themselves, which a socket does not have",
	 {"KC12", "KC13", "KB01", "KB02", "KV07", "KV08", "KI03", "KI05", "KI07", "KI12", "KI15",
	  "C04"}},
	{"vhost-user regions are shared files, read and written, removed one by one",
	 {"KI10", "KI11", "KI17", "KI22", "KS22"}},
	{"vhost-user switches its dirty log by SET_FEATURES at any time", {"KF02", "KS24"}},
	{"vhost-user front ends read config space beyond its end", {"C01", "C03"}},
	{"without STATUS the status is the driver library's, and with it nothing says that the "
	 "back end refuses one",
	 {"KF03", "KF04", "KS12"}},
	{"a vhost-user socket has no range of addresses", {"KI08"}},
	{"a vhost-user suspension belongs to the process that keeps the rings", {"S14-2"}},
};

/* The case, or its packed twin. */
static bool is_case(const char *id, const char *listed)
{
	size_t len = strlen(listed);

	return strncmp(id, listed, len) == 0 && (!id[len] || !strcmp(id + len, "p"));
}

const char *socket_lacks(const struct check *c, const struct check_case *kase)
{
	if (!target_is_socket(c))
		return NULL;
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (size_t i = 0; i < 16 && groups[g].ids[i]; i++)
			if (is_case(kase->id, groups[g].ids[i]))
				return groups[g].why;
	if (case_basis(kase, true) == BASIS_LINUX)
		return "a habit of Linux' vhost-vdpa, of which a vhost-user socket owes nothing";
	return NULL;
}
