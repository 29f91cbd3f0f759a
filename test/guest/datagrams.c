/*
 * datagrams: numbered UDP both ways, for the test guest (static: the guest has no libraries).
 *
 *	datagrams HOST PORT LOCAL	sends a number to HOST:PORT every 5 ms, and counts the
 *different numbers that come to port LOCAL, until the file "end" exists; then writes "heard N" to
 *the file "heard"
 *
 * What it sends is "NUMBER MISSING": how many below the highest number that came have not.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST (1u << 20) /* numbers that are told apart */

static uint8_t seen[MOST];
static unsigned highest; /* number that came, plus 1 */

/* In network order, byte by byte. */
static in_port_t port(const char *text)
{
	unsigned number = (unsigned)strtoul(text, NULL, 10);
	const uint8_t bytes[] = {(uint8_t)(number >> 8), (uint8_t)number};
	in_port_t port;

	memcpy(&port, bytes, sizeof(port));
	return port;
}

static unsigned hear(int fd)
{
	char text[32];
	unsigned fresh = 0;
	ssize_t n;

	while ((n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		unsigned long number;

		text[n] = '\0';
		number = strtoul(text, NULL, 10) % MOST;
		fresh += !seen[number];
		seen[number] = 1;
		if (number >= highest)
			highest = (unsigned)number + 1;
	}
	return fresh;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET}, local = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned heard = 0;
	char text[32];
	FILE *out;

	if (argc != 4 || fd < 0)
		return 2;
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	to.sin_port = port(argv[2]);
	local.sin_port = port(argv[3]);
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return 1;
	for (unsigned number = 0; access("end", F_OK) != 0; number++) {
		struct pollfd in = {.fd = fd, .events = POLLIN};
		int size = snprintf(text, sizeof(text), "%u %u\n", number, highest - heard);

		sendto(fd, text, (size_t)size, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
		poll(&in, 1, 5);
		heard += hear(fd);
		usleep(5000);
	}
	out = fopen("heard", "w");
	if (!out)
		return 1;
	fprintf(out, "heard %u\n", heard);
	return fclose(out) != 0;
}
