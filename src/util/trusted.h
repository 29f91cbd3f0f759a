/*
 * Directories that nobody else can change: neither what is in them, nor what their path leads to.
 *
 * Who is trusted: this process's user, root, and who owns "/" (root as a user namespace shows it).
 * Every directory on the way has to belong to one of them, and either only they may write to it,
 * or it is sticky, as /tmp is: there others can add names, but not replace those of the trusted.
 * Symbolic links on the way have to be theirs, too. A group that may write is one of others,
 * unless it is root's or the user's own, which bears the user's name and has no other member.
 */
#ifndef UVDPA_UTIL_TRUSTED_H
#define UVDPA_UTIL_TRUSTED_H

#include "util/error.h"

/*
 * Opens a directory that belongs to this process's user, that nobody else may write to, and that
 * a trusted path leads to; makes it (0755, less the umask) if only its last name is missing.
 * Returns a descriptor (O_PATH) for openat() and the like. -EPERM: somebody else can change it;
 * -ENOTDIR, -ENOENT and others as from open(). The error says which part of the path is at fault,
 * and what would help.
 */
int trusted_dir(const char *path, struct error *err);

#endif
