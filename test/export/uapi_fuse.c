/* The uAPI's cases through files of a real mount. */
#include <stdio.h>

#include "export/fuse_client.h"

int main(void)
{
	int failed;

	fuse_server_start(&server);
	failed = cases_calls() + cases_iotlb() + cases_suspend();
	if (fuse_server_stop(&server)) {
		fprintf(stderr, "the server did not end well\n");
		failed++;
	}
	return failed ? 1 : 0;
}
