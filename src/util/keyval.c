/* Key=value texts: see keyval.h. */
#include "util/keyval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Cuts the next item off `*text`, turning ",," into ",". Returns NULL at the end. */
static char *next_item(char **text)
{
	char *item = *text, *from = item, *to = item;

	if (!from)
		return NULL;
	for (; *from; from++) {
		if (from[0] == ',' && from[1] != ',')
			break;
		if (from[0] == ',')
			from++;
		*to++ = *from;
	}
	*text = *from ? from + 1 : NULL;
	*to = '\0';
	return item;
}

static int add_item(struct keyvals *keyvals, char *item, const char *first_key, struct error *f)
{
	char *equals = strchr(item, '=');
	const char *key = item, *value;

	if (!equals && (keyvals->count || !first_key))
		return error_set(f, -EINVAL, "'%s' is not of the form key=value", item);
	value = equals ? equals + 1 : item;
	if (equals)
		*equals = '\0';
	else
		key = first_key;
	if (!*key || !*value)
		return error_set(f, -EINVAL,
				 *key ? "'%s' has no value" : "a value without a key: '=%s'",
				 *key ? key : value);
	for (unsigned i = 0; i < keyvals->count; i++)
		if (!strcmp(keyvals->items[i].key, key))
			return error_set(f, -EINVAL, "'%s' is given twice", key);
	if (keyvals->count == KEYVALS_MAX)
		return error_set(f, -EINVAL, "more than %d keys", KEYVALS_MAX);
	keyvals->items[keyvals->count].key = key;
	keyvals->items[keyvals->count++].value = value;
	return 0;
}

int keyvals_parse(struct keyvals *keyvals, const char *text, const char *first_key, struct error *f)
{
	char *rest, *item;
	int ret = 0;

	keyvals->count = 0;
	keyvals->text = strdup(text);
	if (!keyvals->text)
		return error_set(f, -ENOMEM, "out of memory");
	rest = keyvals->text;
	while (!ret && (item = next_item(&rest)))
		ret = add_item(keyvals, item, first_key, f);
	if (ret)
		keyvals_free(keyvals);
	return ret;
}

void keyvals_free(struct keyvals *keyvals)
{
	free(keyvals->text);
	keyvals->text = NULL;
	keyvals->count = 0;
}
