/*
 * Descriptors that a client brought. What a last look at one of them costs is up to what it is:
 * closing a file of FUSE waits for its file system's answer to a flush (linux: fuse_flush), which
 * may be the client's own and never answer.
 */
#ifndef UVDPA_CLIENT_FOREIGN_H
#define UVDPA_CLIENT_FOREIGN_H

/* Closes it, if need be by another thread. Never waits. */
void foreign_close(int fd);

#endif
