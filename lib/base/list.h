/*
 * list.h: doubly linked lists whose links live in the elements.  A head is initialised with list_init();
 * an all-zero struct list element is on no list, and list_remove() makes it so again.
 */
#ifndef GATEPOST_BASE_LIST_H
#define GATEPOST_BASE_LIST_H

#include "lib/base/mem.h"

#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *head) { head->next = head->prev = head; }
static inline bool list_empty(const struct list *head) { return !head->next || head->next == head; }
static inline bool list_linked(const struct list *e) { return e->next != NULL; }

static inline void list_insert_before(struct list *at, struct list *e)
{
	e->next = at;
	e->prev = at->prev;
	at->prev->next = e;
	at->prev = e;
}
static inline void list_append(struct list *head, struct list *e) { list_insert_before(head, e); }
static inline void list_prepend(struct list *head, struct list *e) { list_insert_before(head->next, e); }

/* Harmless for an element that is on no list. */
static inline void list_remove(struct list *e)
{
	if (!e->next)
		return;
	e->prev->next = e->next;
	e->next->prev = e->prev;
	e->next = e->prev = NULL;
}

#define LIST_ITEM(link, type, member) CONTAINER_OF(link, type, member)
#define LIST_FIRST(head, type, member) (list_empty(head) ? NULL : LIST_ITEM((head)->next, type, member))

/* The body may remove ITEM, and nothing else, from the list. */
#define LIST_EACH(item, head, type, member)                                                                      \
	for (struct list *l_##item = (head)->next, *n_##item = l_##item->next;                                   \
	     l_##item != (head) && ((item) = LIST_ITEM(l_##item, type, member), 1);                              \
	     l_##item = n_##item, n_##item = l_##item->next)

#endif
