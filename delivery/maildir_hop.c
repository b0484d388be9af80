/*
 * maildir_hop.c: the next hop `maildir`: settings, and the adapter to delivery.  Files are touched in the thread pool only.
 */
#include "delivery/maildir_hop.h"

#include "delivery/maildir_file.h"
#include "delivery/maildir_path.h"
#include "lib/base/mem.h"

#include <errno.h>

struct maildir_hop {
	char *name, *path;
	struct maildir_rules rules;
};

/* One target's file. */
struct hop_file {
	struct maildir_file file;
	struct delivery_target *target;
	struct buf folder, name, head;
	int error;              /* of the last step */
	struct hop_file *next;
};
struct hop_work {
	struct hop_file *files;
	struct mail *mail;
	bool commit;            /* write and commit in one go */
};

/* ---- in the thread pool ---- */

static int hop_write_files(void *arg)
{
	struct hop_work *work = arg;

	for (struct hop_file *f = work->files; f; f = f->next) {
		f->error = maildir_file_write(&f->file, work->mail);
		if (f->error == 0 && work->commit)
			f->error = maildir_file_commit(&f->file);
	}
	return 0;
}

static int hop_commit_files(void *arg)
{
	struct hop_work *work = arg;

	for (struct hop_file *f = work->files; f; f = f->next)
		if (f->file.fd >= 0)
			f->error = maildir_file_commit(&f->file);
	return 0;
}

static int hop_discard_files(void *arg)
{
	struct hop_work *work = arg;

	for (struct hop_file *f = work->files; f; f = f->next)
		maildir_file_discard(&f->file);
	return 0;
}

/* ---- replies ---- */

static struct smtp_reply hop_reply(int error, struct arena *arena)
{
	switch (error) {
	case 0:
		return SMTP_REPLY(250, "2.0.0", "Delivered to maildir");
	case -ENOENT:
		return SMTP_REPLY(550, "5.1.1", "User unknown");
	case -EDQUOT:
		return SMTP_REPLY(452, "4.2.2", "Mailbox full");
	case -ENOSPC:
	case -EFBIG:
		return SMTP_REPLY(452, "4.3.1", "No room for this message now");
	case -ENXIO:
		return SMTP_REPLY(451, "4.3.0", "Mailboxes are not available now");
	default:
		return SMTP_REPLY(451, "4.3.0", arena_printf(arena, "Mailbox is not available now: %s", strerror(-error)));
	}
}

static void hop_take_errors(const struct hop_work *work, struct arena *arena)
{
	for (struct hop_file *f = work->files; f; f = f->next) {
		f->target->reply = hop_reply(f->error, arena);
		f->target->uncertain = f->error == -EINPROGRESS;
	}
}

/* ---- the contract of delivery.h ---- */

/* RFC 5321 4.4: the server that makes the final delivery puts Return-Path on top. */
static void hop_put_head(struct hop_file *f, const struct gate_txn *txn)
{
	buf_printf(&f->head, "Return-Path: <%.*s>\n", BYTES_ARG(txn->sender.address.address));
	buf_printf(&f->head, "Delivered-To: %.*s\n", BYTES_ARG(f->target->address.address));
}

static void hop_add_file(struct delivery_group *g, struct delivery_target *t, struct hop_file **at)
{
	const struct maildir_hop *h = g->hop->config;
	struct hop_file *f = NEW(struct hop_file);

	f->file.fd = -1;
	f->file.rules = &h->rules;
	f->target = t;
	if (maildir_path_expand(h->path, &t->address, &f->folder) < 0) {
		t->reply = hop_reply(-ENOENT, g->txn->arena);
		buf_fini(&f->folder);
		mem_free(f);
		return;
	}
	maildir_path_name(g->session->hostname, &f->name);
	hop_put_head(f, g->txn);
	f->file.folder = buf_str(&f->folder);
	f->file.name = buf_str(&f->name);
	f->file.head = buf_bytes(&f->head);
	*at = f;
}

static void hop_work_free(struct hop_work *work)
{
	struct hop_file *next;

	for (struct hop_file *f = work->files; f; f = next) {
		next = f->next;
		buf_fini(&f->folder);
		buf_fini(&f->name);
		buf_fini(&f->head);
		mem_free(f);
	}
	mem_free(work);
}

TASK_FN static int maildir_hop_prepare(struct delivery_group *g)
{
	struct hop_work *work = NEW(struct hop_work);
	struct hop_file **at = &work->files;
	bool prepared = false;

	work->mail = g->txn->mail;
	work->commit = g->at_once;
	for (struct delivery_target *t = g->targets; t; t = t->group_next) {
		hop_add_file(g, t, at);
		if (*at)
			at = &(*at)->next;
	}
	if (work->files)
		(void)!task_offload(hop_write_files, work);
	hop_take_errors(work, g->txn->arena);
	for (struct hop_file *f = work->files; f; f = f->next)
		prepared = prepared || f->file.fd >= 0;
	g->committed = g->at_once;
	if (prepared)
		g->state = work;
	else
		hop_work_free(work);
	return 0;
}

TASK_FN static int maildir_hop_commit(struct delivery_group *g)
{
	struct hop_work *work = g->state;

	(void)!task_offload(hop_commit_files, work);
	hop_take_errors(work, g->txn->arena);
	return 0;
}

TASK_FN static void maildir_hop_rollback(struct delivery_group *g)
{
	struct hop_work *work = g->state;

	g->state = NULL;
	(void)!task_offload(hop_discard_files, work);
	hop_work_free(work);
}

/* ---- settings ---- */

static void maildir_hop_fini(struct next_hop *hop)
{
	struct maildir_hop *h = hop->config;

	if (!h)
		return;
	mem_free(h->name);
	mem_free(h->path);
	mem_free(h->rules.base);
	mem_free(h);
	hop->config = NULL;
}

static const struct next_hop_ops maildir_hop_ops = {
	.kind = "maildir",
	.sure = true,
	.prepare = maildir_hop_prepare,
	.commit = maildir_hop_commit,
	.rollback = maildir_hop_rollback,
	.fini = maildir_hop_fini,
};

int maildir_hop_configure(const struct maildir_hop_params *params, struct next_hop *ret, struct buf *err)
{
	int r = maildir_path_check(params->path, err);

	if (r < 0)
		return r;
	struct maildir_hop *h = NEW(struct maildir_hop);
	h->name = mem_strdup(params->name);
	h->path = mem_strdup(params->path);
	h->rules = (struct maildir_rules){
		.base = bytes_dup(bytes_make(params->path, maildir_path_fixed(params->path))),
		.existing_only = params->existing_only,
		.chown = params->chown,
		.uid = params->uid,
		.gid = params->gid,
	};
	*ret = (struct next_hop){ .ops = &maildir_hop_ops, .name = h->name, .config = h };
	return 0;
}
