/* main.c: the commands of gatepost. */
#include <stdio.h>

int main(void)
{
	puts("gatepost " GATEPOST_VERSION);
	return 0;
}
