/* docs/openapi.yaml: the same tables as docs/api.md and the decoder, for clients' generators and
 * for the tests that make requests of it. Nulls, unknown members and other letter cases are taken
 * as well; a description can't say that. */
#include "server/docs.h"

#include "server/api/api_schema.h"

enum { STEP = 2 };

static void put_line(struct buf *out, int indent, const char *text)
{
	buf_putf(out, "%*s%s\n", indent, "", text);
}

/* In single quotes nothing but the quote itself is special to YAML. */
static void put_quoted(struct buf *out, int indent, const char *key, const char *text)
{
	buf_putf(out, "%*s%s: '", indent, "", key);
	for (const char *c = text; *c; c++)
		buf_put_str(out, *c == '\'' ? "''" : (char[]){*c, 0});
	buf_put_str(out, "'\n");
}

static void put_members(struct buf *out, const struct api_struct *s, int indent);

static void put_object(struct buf *out, const struct api_struct *s, int indent)
{
	put_line(out, indent, "type: object");
	if (s && s->n)
		put_members(out, s, indent);
}

static void put_list(struct buf *out, const struct api_struct *s, int indent)
{
	put_line(out, indent, "type: array");
	put_line(out, indent, "items:");
	put_object(out, s, indent + STEP);
}

static void put_map(struct buf *out, const struct api_struct *s, int indent)
{
	put_line(out, indent, "type: object");
	put_line(out, indent, "additionalProperties:");
	if (s)
		put_list(out, s, indent + STEP);
	else
		put_line(out, indent + STEP, "type: string");
}

static void put_type(struct buf *out, const struct api_field *f, int indent)
{
	switch (f->type) {
	case API_STRING:
		put_line(out, indent, "type: string");
		break;
	case API_INT:
		put_line(out, indent, "type: integer");
		put_line(out, indent, "format: int64");
		break;
	case API_BOOL:
		put_line(out, indent, "type: boolean");
		break;
	case API_STRUCT:
	case API_ANY:
		put_object(out, f->sub, indent);
		break;
	case API_LIST:
		put_list(out, f->sub, indent);
		break;
	case API_STRINGS:
	case API_LISTS:
		put_map(out, f->sub, indent);
		break;
	case API_IGNORED:
		break;
	}
}

/* Recursion follows the tables, which are four levels deep. */
static void put_members(struct buf *out, const struct api_struct *s, int indent)
{
	put_line(out, indent, "properties:");
	for (size_t i = 0; i < s->n; i++) {
		const struct api_field *f = &s->fields[i];
		int inner = indent + 2 * STEP;
		buf_putf(out, "%*s%s:\n", indent + STEP, "", f->name);
		put_quoted(out, inner, "description", f->doc);
		if (f->flags & API_SECRET)
			put_line(out, inner, "writeOnly: true");
		put_type(out, f, inner);
	}
}

static void put_request(struct buf *out, const struct api_request_row *r)
{
	buf_putf(out, "    %s:\n", r->name);
	put_quoted(out, 6, "description", r->doc);
	buf_putf(out,
		"      type: object\n"
		"      required: [request_type]\n"
		"      properties:\n"
		"        request_type:\n"
		"          type: string\n"
		"          enum: [%s]\n"
		"        request_data:\n",
		r->name);
	put_object(out, r->fields, 10);
}

static const char head[] = "paths:\n"
			   "  /cdc:\n"
			   "    post:\n"
			   "      operationId: cdc\n"
			   "      requestBody:\n"
			   "        required: true\n"
			   "        content:\n"
			   "          application/json:\n"
			   "            schema:\n"
			   "              oneOf:\n";

static const char status[] = "  /cdc/status.json:\n"
			     "    get:\n"
			     "      operationId: status\n"
			     "      responses:\n"
			     "        '200':\n"
			     "          description: 'all tasks, for the status page'\n"
			     "          content:\n"
			     "            application/json:\n"
			     "              schema:\n"
			     "                type: object\n"
			     "                required: [version, tasks]\n"
			     "                properties:\n"
			     "                  version:\n"
			     "                    type: string\n"
			     "                  tasks:\n"
			     "                    type: array\n"
			     "                    items:\n"
			     "                      $ref: '#/components/schemas/Task'\n";

static const char answer[] = "      responses:\n"
			     "        '200':\n"
			     "          description: 'every outcome; code tells which'\n"
			     "          content:\n"
			     "            application/json:\n"
			     "              schema:\n"
			     "                $ref: '#/components/schemas/Answer'\n"
			     "        '413':\n"
			     "          description: 'the body is larger than 4 MiB'\n";

static const char schemas[] = "components:\n"
			      "  schemas:\n"
			      "    Answer:\n"
			      "      type: object\n"
			      "      required: [code]\n"
			      "      properties:\n"
			      "        code:\n"
			      "          description: '200 done, 400 the request is at fault, 500 "
			      "something else failed'\n"
			      "          type: integer\n"
			      "          enum: [200, 400, 405, 413, 500]\n"
			      "        message:\n"
			      "          description: 'what is wrong; absent when nothing is'\n"
			      "          type: string\n"
			      "        data:\n"
			      "          type: object\n";

void api_openapi_write(struct buf *out)
{
	buf_put_str(out,
		"# Generated by `milvus-cdc print-docs openapi`; do not edit.\n"
		"openapi: 3.0.3\n"
		"info:\n"
		"  title: Milvus-CDC\n"
		"  description: 'The rules and error texts of each request are in docs/api.md.'\n"
		"  version: '2'\n");
	buf_put_str(out, head);
	for (size_t i = 0; i < API_REQUEST_COUNT; i++)
		buf_putf(out, "                - $ref: '#/components/schemas/%s'\n",
			api_requests[i].name);
	buf_put_str(out, answer);
	buf_put_str(out, status);
	buf_put_str(out, schemas);
	for (size_t i = 0; i < API_REQUEST_COUNT; i++)
		put_request(out, &api_requests[i]);
	api_detail_write_schema(out);
}
