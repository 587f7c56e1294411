// Package standin is an external API for the end-to-end tests: HTTPS under a CA of its own, one key, and the shapes of
// call that workflows make (query, JSON, files, pages, events). It answers only to the real key, so an answer proves
// that the credential arrived; it keeps every request it saw, so a test can say what did and what did not arrive.
//
// It is not a mock: nothing is programmed per test, and it knows nothing of Sallyport or n8n.
package standin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
)

// Pages is how many pages GET /v1/pages has, three rows each.
const Pages = 4

// Events is how many server-sent events GET /v1/events sends before it ends.
const Events = 5

// handler routes every path behind the key check.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/items", items)
	mux.HandleFunc("POST /v1/echo", echo)
	mux.HandleFunc("POST /v1/files", upload)
	mux.HandleFunc("GET /v1/files/{size}", download)
	mux.HandleFunc("GET /v1/pages", page)
	mux.HandleFunc("GET /v1/events", events)
	mux.HandleFunc("GET /v1/headers", headers)
	mux.HandleFunc("GET /v1/forbidden-plan", forbiddenPlan)
	mux.HandleFunc("GET /v1/broken", broken)
	mux.HandleFunc("GET /v1/status/{code}", status)
	mux.HandleFunc("GET /v1/redirect", redirect)
	mux.HandleFunc("POST /v1/chat/completions", chat)
	mux.HandleFunc("POST /v1/messages", messages)
	mux.HandleFunc("POST /v1beta/models/{call}", generate)
	mux.HandleFunc("GET /repos/{owner}/{repo}", repository)
	return s.record(s.authenticate(mux))
}

// authenticate accepts the key as a bearer token (in GitHub's manner too), in X-Api-Key or X-Goog-Api-Key, or in the
// query as api_key.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, got := range []string{
			strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "),
			strings.TrimPrefix(r.Header.Get("Authorization"), "token "),
			r.Header.Get("X-Api-Key"),
			r.Header.Get("X-Goog-Api-Key"),
			r.URL.Query().Get("api_key"),
		} {
			if subtle.ConstantTimeCompare([]byte(got), []byte(s.key)) == 1 {
				next.ServeHTTP(w, r)
				return
			}
		}
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid api key"})
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// items answers a search: the query as received, and two rows.
func items(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"query": r.URL.Query(),
		"items": []map[string]any{{"id": 1, "name": "first"}, {"id": 2, "name": "second"}},
	})
}

// echo answers the JSON it was sent, so a test sees that the body arrived whole.
func echo(w http.ResponseWriter, r *http.Request) {
	var body any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{"received": body, "type": r.Header.Get("Content-Type")})
}

// upload takes a file as multipart/form-data or as the bare body, and answers its size and SHA-256.
func upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, fileOf(r))
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{"bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil))})
}

func fileOf(r *http.Request) io.Reader {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return r.Body
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if err != nil {
			return strings.NewReader("")
		}
		if part.FileName() != "" {
			return part
		}
	}
}

// download streams the File of the size in the path.
func download(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
	if err != nil || size < 0 {
		answer(w, http.StatusNotFound, map[string]any{"error": "no such file"})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="sample.bin"`)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	io.Copy(w, File(size))
}

// page answers one page of three rows and, until the last, the path of the next.
func page(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || number < 1 || number > Pages {
		answer(w, http.StatusNotFound, map[string]any{"error": "no such page"})
		return
	}
	var next any
	if number < Pages {
		next = fmt.Sprintf("/v1/pages?page=%d", number+1)
	}
	answer(w, http.StatusOK,
		map[string]any{"page": number, "rows": []int{number * 10, number*10 + 1, number*10 + 2}, "next": next})
}

// events sends Events server-sent events, each flushed by itself.
func events(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	for i := range Events {
		fmt.Fprintf(w, "id: %d\ndata: {\"tick\":%d}\n\n", i, i)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

// headers plays the careless API that reflects what it was sent, credential included, in its headers and in its body.
func headers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Reflected", r.Header.Get("Authorization"))
	answer(w, http.StatusOK, map[string]any{"headers": r.Header, "url": r.URL.String(), "host": r.Host})
}

// status answers with the status that the path names.
func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 400 || code > 599 {
		code = http.StatusNotFound
	}
	answer(w, code, map[string]any{"message": "stand-in: as you wish"})
}

// forbiddenPlan is the API's own 401: the key is right, and still no.
func forbiddenPlan(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusUnauthorized, map[string]any{"error": "stand-in: your plan does not include this"})
}

func broken(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusInternalServerError, map[string]any{"error": "stand-in: out of order"})
}

// redirect sends the caller on to wherever "to" says.
func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
}

// chat answers as OpenAI's API does, so far as n8n's own nodes look.
func chat(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Model    string `json:"model"`
		Messages []any  `json:"messages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Messages) == 0 {
		answer(w, http.StatusBadRequest, map[string]any{"error": map[string]string{"message": "stand-in: no messages"}})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": asked.Model,
		"choices": []map[string]any{{
			"index":         0,
			"finish_reason": "stop", "message": map[string]string{"role": "assistant", "content": "stand-in: hello"},
		}},
		"usage": map[string]int{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
	})
}

// messages answers as Anthropic's API does, whole or as a stream of events, as it was asked.
func messages(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Stream bool `json:"stream"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		answer(w, http.StatusBadRequest,
			map[string]any{"type": "error", "error": map[string]string{"message": err.Error()}})
		return
	}
	usage, text := map[string]int{"input_tokens": 1, "output_tokens": 1}, map[string]string{
		"type": "text",
		"text": "stand-in: hello",
	}
	message := map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in",
		"stop_reason": "end_turn", "content": []any{text}, "usage": usage,
	}
	if !asked.Stream {
		answer(w, http.StatusOK, message)
		return
	}
	message["content"] = []any{}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range []map[string]any{
		{"type": "message_start", "message": message},
		{"type": "content_block_start", "index": 0, "content_block": map[string]string{"type": "text", "text": ""}},
		{
			"type": "content_block_delta", "index": 0,
			"delta": map[string]string{"type": "text_delta", "text": text["text"]},
		},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": map[string]string{"stop_reason": "end_turn"}, "usage": usage},
		{"type": "message_stop"},
	} {
		data, _ := json.Marshal(event)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
	}
}

// generate answers as Gemini's API does, whole or as a stream of events, as the call's name says.
func generate(w http.ResponseWriter, r *http.Request) {
	part := map[string]any{
		"content":      map[string]any{"role": "model", "parts": []map[string]string{{"text": "stand-in: hello"}}},
		"finishReason": "STOP", "index": 0,
	}
	whole := map[string]any{"candidates": []any{part}, "usageMetadata": map[string]int{
		"promptTokenCount":     1,
		"candidatesTokenCount": 1, "totalTokenCount": 2,
	}}
	if !strings.HasSuffix(r.PathValue("call"), ":streamGenerateContent") {
		answer(w, http.StatusOK, whole)
		return
	}
	data, _ := json.Marshal(whole)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: %s\n\n", data)
}

// repository answers as GitHub's API does.
func repository(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]any{"id": 1, "full_name": r.PathValue("owner") + "/" + r.PathValue("repo")})
}
