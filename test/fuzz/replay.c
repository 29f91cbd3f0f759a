/*
 * Runs a fuzz target over files: the kept corpus as a test, or one file that a
 * fuzzer has found, in a debugger. Arguments are files and folders.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned files;

/* Each input in memory of exactly its size: sanitizers then see a read beyond it. */
static int replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(size ? size : 1);
	int result = -1;

	if (f && bytes && fread(bytes, 1, size, f) == size)
		result = LLVMFuzzerTestOneInput(bytes, size);
	if (result)
		fprintf(stderr, "cannot replay %s\n", path);
	files++;
	if (f)
		fclose(f);
	free(bytes);
	return result;
}

static int replay(const char *path);

static int replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[1024];
	int result = dir ? 0 : -1;

	while (dir && !result && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			result = replay(name);
	}
	if (dir)
		closedir(dir);
	return result;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st)) {
		fprintf(stderr, "there is no %s\n", path);
		return -1;
	}
	return S_ISDIR(st.st_mode) ? replay_folder(path) : replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]))
			return 1;
	printf("%u inputs\n", files);
	return files ? 0 : 1;
}
