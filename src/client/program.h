/* The names of clients' programs, for people: a client may call itself what it likes. */
#ifndef UVDPA_CLIENT_PROGRAM_H
#define UVDPA_CLIENT_PROGRAM_H

#include <sys/types.h>

#define PROGRAM_TEXT 24

/* " (NAME)" of a process or thread, as the kernel has it and printable; "" if that is not known. */
void program_of(pid_t pid, char text[PROGRAM_TEXT]);

#endif
