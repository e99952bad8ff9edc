/* An intrusive doubly linked list. A node is in at most one list; list_del leaves it
 * self-linked. */
#pragma once

#include "base/defs.h"

struct list {
	struct list *next, *prev;
};

#define LIST_ITEM(node, type, member) CONTAINER_OF(node, type, member)
/* Safe against removal of the visited node. */
#define list_foreach(it, head)                                                                     \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                  \
		it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_push(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void list_push_front(struct list *head, struct list *n)
{
	list_push(head->next, n);
}

static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* The first node, removed; NULL if the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	if (list_empty(head))
		return NULL;
	struct list *n = head->next;
	list_del(n);
	return n;
}

/* Moves all nodes of from behind those of to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}
