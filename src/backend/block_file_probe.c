/*
 * Whether an image is of a format that has to be interpreted: its bytes are not a disk's, and a
 * guest that writes to them as if they were destroys it.
 *
 * A guest may write such a beginning to its own raw disk, so this protects from mistakes and
 * nothing else: format=raw is what an operator says who knows. Magic numbers: QEMU's docs/interop
 * (qcow2, qed, parallels, vhdx), VMware's and Microsoft's specifications (vmdk, vhd), cryptsetup's
 * (luks).
 */
#include "backend/block_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What direct=on may ask of offset, length and memory is less. */
#define PIECE  (64 * 1024)
#define FOOTER 512 /* of a VHD: the last bytes of the file */

static const struct magic {
	const char *format;
	size_t offset, size;
	const char *bytes;
} beginnings[] = {
	{"qcow2", 0, 4, "QFI\xfb"},
	{"qed", 0, 4, "QED"},
	{"vmdk", 0, 4, "KDMV"},
	{"vmdk", 0, 4, "COWD"},
	{"vmdk", 0, 21, "# Disk DescriptorFile"},
	{"vdi", 64, 4, "\x7f\x10\xda\xbe"},
	{"vhdx", 0, 8, "vhdxfile"},
	{"luks", 0, 6, "LUKS\xba\xbe"},
	{"parallels", 0, 16, "WithoutFreeSpace"},
	{"parallels", 0, 16, "WithouFreSpacExt"},
	{"vpc", 0, 8, "conectix"},
	{"bochs", 0, 22, "Bochs Virtual HD Image"},
};

static const struct magic footer = {"vpc", 0, 8, "conectix"};

static bool matches(const struct magic *magic, const uint8_t *bytes, size_t size)
{
	return size >= magic->offset + magic->size &&
	       !memcmp(bytes + magic->offset, magic->bytes, magic->size);
}

static size_t read_piece(const struct file_block *file, uint64_t offset, uint8_t *piece)
{
	ssize_t n = pread(file->fd, piece, PIECE, (off_t)offset);

	return n > 0 ? (size_t)n : 0; /* what cannot be read is not this one's to tell */
}

static const char *find_format(const struct file_block *file, uint64_t size, uint8_t *piece)
{
	size_t n = read_piece(file, 0, piece);
	uint64_t last;

	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (matches(&beginnings[i], piece, n))
			return beginnings[i].format;
	if (size < FOOTER)
		return NULL;
	last = (size - FOOTER) / PIECE * PIECE;
	n = read_piece(file, last, piece);
	if (n < FOOTER || last + n != size)
		return NULL;
	return matches(&footer, piece + n - FOOTER, FOOTER) ? footer.format : NULL;
}

int file_check_format(const struct file_block *file, uint64_t size, struct error *f)
{
	uint8_t *piece = aligned_alloc(PIECE, PIECE);
	const char *format;

	if (!piece)
		return error_set(f, -ENOMEM, "no memory to look into %s", file->path);
	format = find_format(file, size, piece);
	free(piece);
	if (!format)
		return 0;
	return error_set(
		f, -EINVAL,
		"%s looks like a %s image, and raw images are all that is served: convert it "
		"(qemu-img convert -O raw), or say format=raw if its bytes are the disk's",
		file->path, format);
}
