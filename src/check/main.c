/* uvdpa-check: the verb `uvdpa check` as a program of its own, for machines where only it fits. */
#include "check/check.h"

int main(int argc, char **argv)
{
	return check_main(argc, argv);
}
