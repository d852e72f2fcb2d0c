/* See nodes.h. */
#include "share/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

#define FIRST_ROOM 64u

static uint32_t hash_of(const struct share_identity *self, uint32_t nhash)
{
	uint64_t h = (self->inode ^ self->device << 32) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) & (nhash - 1);
}

static bool same_file(const struct share_identity *a, const struct share_identity *b)
{
	return a->inode == b->inode && a->device == b->device && a->born == b->born;
}

static void hash_insert(struct nodes *n, struct node *node)
{
	struct node **at = &n->hash[hash_of(&node->self, n->nhash)];

	node->next = *at;
	*at = node;
}

static void hash_remove(struct nodes *n, const struct node *node)
{
	struct node **at = &n->hash[hash_of(&node->self, n->nhash)];

	while (*at != NULL && *at != node)
		at = &(*at)->next;
	if (*at != NULL)
		*at = node->next;
}

/* Twice the room, by numbers and by identity. */
static int grow_nodes(struct nodes *n, uint32_t want)
{
	uint32_t room = n->nnodes > 0 ? n->nnodes : FIRST_ROOM;
	struct node **node, **hash;

	while (room <= want)
		room *= 2;
	node = realloc(n->node, room * sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	for (uint32_t i = n->nnodes; i < room; i++)
		node[i] = NULL;
	n->node = node;
	n->nnodes = room;
	hash = calloc(room, sizeof(*hash));
	if (hash == NULL)
		return -ENOMEM;
	free(n->hash);
	n->hash = hash;
	n->nhash = room;
	for (uint32_t i = 0; i < room; i++) {
		if (node[i] != NULL && node[i]->fd >= 0)
			hash_insert(n, node[i]);
	}
	return 0;
}

static int grow_handles(struct nodes *n, uint32_t want)
{
	uint32_t room = n->nhandles > 0 ? n->nhandles : FIRST_ROOM;
	struct handle *handle;

	while (room <= want)
		room *= 2;
	handle = realloc(n->handle, room * sizeof(*handle));
	if (handle == NULL)
		return -ENOMEM;
	for (uint32_t i = n->nhandles; i < room; i++)
		handle[i] = (struct handle){.fd = -1};
	n->handle = handle;
	n->nhandles = room;
	return 0;
}

static void close_counted(struct nodes *n, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	n->open--;
}

struct node *nodes_find(const struct nodes *n, uint64_t id)
{
	return id < n->nnodes ? n->node[id] : NULL;
}

struct node *nodes_find_file(const struct nodes *n, const struct share_identity *self)
{
	struct node *node = n->hash[hash_of(self, n->nhash)];

	while (node != NULL && !same_file(&node->self, self))
		node = node->next;
	return node;
}

static uint32_t first_free_node(struct nodes *n)
{
	uint32_t id = n->free_node;

	while (id < n->nnodes && n->node[id] != NULL)
		id++;
	n->free_node = id;
	return id;
}

struct node *nodes_add(struct nodes *n, uint32_t id, int fd, uint32_t type,
		       const struct share_identity *self)
{
	struct node *node = NULL;

	if (id == 0)
		id = first_free_node(n);
	if (id <= SHARE_ID_MAX && (fd < 0 || n->open < n->most) &&
	    (id < n->nnodes || grow_nodes(n, id) == 0) && n->node[id] == NULL)
		node = calloc(1, sizeof(*node));
	if (node == NULL) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	*node = (struct node){.fd = fd, .id = id, .type = type, .self = *self};
	n->node[id] = node;
	n->count++;
	if (fd >= 0) {
		n->open++;
		hash_insert(n, node);
	}
	return node;
}

static void remove_node(struct nodes *n, struct node *node)
{
	hash_remove(n, node);
	close_counted(n, node->fd);
	n->node[node->id] = NULL;
	if (node->id < n->free_node)
		n->free_node = node->id;
	n->count--;
	free(node);
}

void nodes_forget(struct nodes *n, uint64_t id, uint64_t count)
{
	struct node *node = nodes_find(n, id);

	if (node == NULL || node->id == NODE_ROOT)
		return;
	node->lookups -= u64_min(count, node->lookups);
	if (node->lookups == 0)
		remove_node(n, node);
}

struct handle *nodes_handle(const struct nodes *n, uint64_t id)
{
	return id < n->nhandles && n->handle[id].used ? &n->handle[id] : NULL;
}

struct handle *nodes_open_handle(struct nodes *n, uint32_t *id, int fd, bool directory,
				 uint32_t flags, const struct share_identity *self)
{
	uint32_t at = *id;

	if (at == 0) {
		for (at = n->free_handle; at < n->nhandles && n->handle[at].used; at++)
			;
		n->free_handle = at;
	}
	if (at > SHARE_ID_MAX || (fd >= 0 && n->open >= n->most) ||
	    (at >= n->nhandles && grow_handles(n, at) < 0) || n->handle[at].used) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	n->handle[at] = (struct handle){
		.fd = fd, .used = true, .directory = directory, .flags = flags, .self = *self};
	n->open += fd >= 0;
	*id = at;
	return &n->handle[at];
}

void nodes_close_handle(struct nodes *n, uint64_t id)
{
	struct handle *handle = nodes_handle(n, id);

	if (handle == NULL)
		return;
	close_counted(n, handle->fd);
	*handle = (struct handle){.fd = -1};
	if (id < n->free_handle)
		n->free_handle = (uint32_t)id;
}

int nodes_open(struct nodes *n, int root, const struct share_identity *self, uint32_t most)
{
	/* Number 0 is none, for the guest and for us. */
	*n = (struct nodes){.free_node = NODE_ROOT + 1, .free_handle = 1, .most = most};
	if (grow_nodes(n, 0) < 0) {
		close(root);
		return -ENOMEM;
	}
	return nodes_add(n, NODE_ROOT, root, S_IFDIR, self) != NULL ? 0 : -ENOMEM;
}

void nodes_clear(struct nodes *n)
{
	for (uint32_t i = NODE_ROOT + 1; i < n->nnodes; i++) {
		if (n->node[i] != NULL)
			remove_node(n, n->node[i]);
	}
	for (uint32_t i = 0; i < n->nhandles; i++)
		nodes_close_handle(n, i);
}

void nodes_close(struct nodes *n)
{
	nodes_clear(n);
	if (n->nnodes > NODE_ROOT && n->node[NODE_ROOT] != NULL)
		remove_node(n, n->node[NODE_ROOT]);
	free(n->node);
	free(n->hash);
	free(n->handle);
	*n = (struct nodes){0};
}
