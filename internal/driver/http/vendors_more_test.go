package httpdriver_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// page is a page of two keys; the first one's number is first.
func page(a *account, number string, first int) []*stored {
	n, err := strconv.Atoi(number)
	if err != nil {
		n = first
	}
	const size = 2
	begin := min(max(n-first, 0)*size, len(a.keys))
	return a.keys[begin:min(begin+size, len(a.keys))]
}

// auth0: https://auth0.com/docs/api/management/v2/clients/patch-clients-by-id
func auth0(a *account) http.Handler {
	mux := http.NewServeMux()
	const client = "AaiyAPdpYdesoKnqjj8HJqRn4T5titww"
	mux.HandleFunc("PATCH /api/v2/clients/"+client, func(w http.ResponseWriter, r *http.Request) {
		a.secret = text(a.read(r, "client_secret", ""), "client_secret")
		a.values = append(a.values, a.secret)
		reply(w, http.StatusOK, object{"client_id": client, "client_secret": a.secret, "name": "n8n"})
	})
	return mux
}

// datadog: https://docs.datadoghq.com/api/latest/key-management/
func datadog(a *account) http.Handler {
	mux := http.NewServeMux()
	key := func(k *stored) object {
		return object{"type": "api_keys", "id": k.id, "attributes": object{
			"name": k.label, "created_at": k.created, "modified_at": k.created, "last4": k.value[len(k.value)-4:],
		}}
	}
	mux.HandleFunc("POST /api/v2/api_keys", func(w http.ResponseWriter, r *http.Request) {
		data, _ := a.read(r, "data", "")["data"].(object)
		a.strict(data, "type attributes", "")
		attributes, _ := data["attributes"].(object)
		a.strict(attributes, "name", "category")
		k, err := a.add(text(attributes, "name"))
		if err != nil {
			reply(w, http.StatusForbidden, object{"errors": []string{"API key limit reached"}})
			return
		}
		body := key(k)
		made, _ := body["attributes"].(object)
		made["key"] = k.value
		reply(w, http.StatusCreated, object{"data": body})
	})
	mux.HandleFunc("GET /api/v2/api_keys", func(w http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, k := range page(a, a.query(r, "", "page[size] page[number]").Get("page[number]"), 0) {
			list = append(list, key(k))
		}
		reply(w, http.StatusOK, object{"data": list, "included": []any{}})
	})
	mux.HandleFunc("DELETE /api/v2/api_keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"errors": []string{"Not Found"}})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// elasticsearch: https://www.elastic.co/guide/en/elasticsearch/reference/8.17/security-api-create-api-key.html
func elasticsearch(a *account) http.Handler {
	mux := http.NewServeMux()
	var ended []*stored // the list goes on to show them
	mux.HandleFunc("POST /_security/api_key", func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name", "role_descriptors expiration metadata")
		if text(body, "expiration") != "30d" {
			a.refuses = "expiration is no time value"
		}
		k, _ := a.add(text(body, "name"))
		reply(w, http.StatusOK, object{
			"id": k.id, "name": k.label, "api_key": "part", "encoded": k.value, "expiration": k.created.UnixMilli(),
		})
	})
	mux.HandleFunc("GET /_security/api_key", func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "", "owner id name active_only")
		list := []object{}
		for i, k := range slices.Concat(a.keys, ended) {
			list = append(list, object{
				"id": k.id, "name": k.label, "creation": k.created.UnixMilli(), "invalidated": i >= len(a.keys),
				"username": "n8n", "realm": "native1", "metadata": object{},
			})
		}
		reply(w, http.StatusOK, object{"api_keys": list})
	})
	mux.HandleFunc("DELETE /_security/api_key", func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "ids", "owner")
		ids, _ := body["ids"].([]any)
		done, before := []any{}, []any{}
		for _, id := range ids {
			name, _ := id.(string)
			if k := a.find(name); k != nil {
				ended = append(ended, k)
				a.remove(name)
				done = append(done, id)
			} else if slices.ContainsFunc(ended, func(k *stored) bool { return k.id == name }) {
				before = append(before, id)
			}
		}
		reply(w, http.StatusOK, object{
			"invalidated_api_keys": done, "previously_invalidated_api_keys": before, "error_count": 0,
		})
	})
	return mux
}

// gitlab: https://docs.gitlab.com/api/project_access_tokens/
func gitlab(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/api/v4/projects/42/access_tokens"
	token := func(k *stored) object {
		return object{
			"id": json.Number(k.id), "name": k.label, "scopes": []string{"read_api"}, "created_at": k.created,
			"expires_at": "2026-06-01", "active": true, "revoked": false, "access_level": 20, "user_id": 7,
		}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name scopes expires_at", "access_level description")
		if _, err := time.Parse(time.DateOnly, text(body, "expires_at")); err != nil || body["access_level"] != 20.0 {
			a.refuses = "expires_at is no date, or access_level no number"
		}
		k, _ := a.add(text(body, "name"))
		made := token(k)
		made["token"] = k.value
		reply(w, http.StatusCreated, made)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		at := a.query(r, "", "state page per_page").Get("page")
		list := []object{}
		for _, k := range page(a, at, 1) {
			list = append(list, token(k))
		}
		next := ""
		if at == "" && len(a.keys) > 2 {
			next = "2"
		}
		w.Header().Set("X-Next-Page", next)
		reply(w, http.StatusOK, list)
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"message": "404 Could not find project access token Not Found"})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// grafana: https://grafana.com/docs/grafana/latest/developers/http_api/serviceaccount/
func grafana(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/api/serviceaccounts/2/tokens"
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name", "secondsToLive")
		if body["secondsToLive"] != 90*86400.0 {
			a.refuses = "secondsToLive is no number of seconds"
		}
		k, _ := a.add(text(body, "name"))
		reply(w, http.StatusOK, object{"id": json.Number(k.id), "name": k.label, "key": k.value})
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		list := []object{}
		for _, k := range a.keys {
			list = append(list, object{
				"id": json.Number(k.id), "name": k.label, "created": k.created, "expiration": nil,
				"secondsUntilExpiration": 0, "hasExpired": false,
			})
		}
		reply(w, http.StatusOK, list)
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"message": "Service account token not found"})
			return
		}
		reply(w, http.StatusOK, object{"message": "Service account token deleted"})
	})
	return mux
}

// mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/keys
func mailgun(a *account) http.Handler {
	mux := http.NewServeMux()
	key := func(k *stored) object {
		return object{
			"id": k.id, "description": k.label, "kind": "domain", "role": "sending", "created_at": k.created,
			"updated_at": k.created, "domain_name": "mg.example.com", "is_disabled": false, "secret": masked(k.value),
		}
	}
	mux.HandleFunc("POST /v1/keys", func(w http.ResponseWriter, r *http.Request) {
		form := a.parts(r, "role kind domain_name", "description expiration user_id user_name email")
		k, _ := a.add(form.Get("description"))
		body := key(k)
		body["secret"] = k.value
		reply(w, http.StatusOK, object{"message": "great success", "key": body})
	})
	mux.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "", "kind domain_name")
		list := []object{}
		for _, k := range a.keys {
			list = append(list, key(k))
		}
		reply(w, http.StatusOK, object{"items": list, "total_count": len(list)})
	})
	mux.HandleFunc("DELETE /v1/keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"message": "key not found"})
			return
		}
		reply(w, http.StatusOK, object{"message": "key deleted"})
	})
	return mux
}

// atlas: https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/operation/operation-createapikey
func atlas(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/api/atlas/v2/orgs/4888442a3354817a7320eb61/apiKeys"
	key := func(k *stored) object {
		return object{
			"id": k.id, "desc": k.label, "publicKey": "public-" + k.id, "roles": []any{},
			"privateKey": "********-****-****-" + k.value[len(k.value)-12:],
		}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/vnd.atlas.2023-01-01+json" {
			a.refuses = "it accepts no version"
		}
		k, _ := a.add(text(a.read(r, "desc roles", ""), "desc"))
		body := key(k)
		body["privateKey"] = k.value
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, k := range page(a, a.query(r, "", "pageNum itemsPerPage").Get("pageNum"), 1) {
			list = append(list, key(k))
		}
		reply(w, http.StatusOK, object{"results": list, "totalCount": len(a.keys), "links": []any{}})
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{
				"error": 404, "errorCode": "API_KEY_NOT_FOUND", "detail": "An API key was not found.", "reason": "Not Found",
			})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// okta: https://developer.okta.com/docs/guides/client-secret-rotation-key/main/
func okta(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/api/v1/apps/0oafxqCAJWWGELFTYASJ/credentials/secrets"
	fail := func(w http.ResponseWriter, status int, code, cause string) {
		reply(w, status, object{
			"errorCode": code, "errorSummary": "Api validation failed", "errorLink": code, "errorId": "oae1",
			"errorCauses": []object{{"errorSummary": cause}},
		})
	}
	show := func(k *stored) object {
		status := "ACTIVE"
		if k.off {
			status = "INACTIVE"
		}
		return object{
			"id": k.id, "status": status, "client_secret": k.value, "secret_hash": "hash", "created": k.created,
			"lastUpdated": k.created, "_links": object{},
		}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		a.read(r, "", "client_secret status")
		k, err := a.add("")
		if err != nil {
			fail(w, http.StatusBadRequest, "E0000001",
				"You've reached the maximum number of client secrets per client")
			return
		}
		reply(w, http.StatusCreated, show(k))
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		list := []object{}
		for _, k := range a.keys {
			list = append(list, show(k))
		}
		reply(w, http.StatusOK, list)
	})
	mux.HandleFunc("POST "+path+"/{id}/lifecycle/deactivate", func(w http.ResponseWriter, r *http.Request) {
		k := a.find(r.PathValue("id"))
		switch {
		case k == nil:
			fail(w, http.StatusNotFound, "E0000007", "Not found")
		case k.off:
			fail(w, http.StatusBadRequest, "E0000001", "It is inactive")
		default:
			k.off = true
			reply(w, http.StatusOK, show(k))
		}
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		k := a.find(r.PathValue("id"))
		switch {
		case k == nil:
			fail(w, http.StatusNotFound, "E0000007", "Not found")
		case !k.off:
			fail(w, http.StatusBadRequest, "E0000001", "You can't delete an active secret")
		default:
			a.remove(k.id)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}

// pinecone: https://docs.pinecone.io/reference/api/2026-04/admin/create_api_key
func pinecone(a *account) http.Handler {
	mux := http.NewServeMux()
	const (
		project = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
		path    = "/admin/projects/" + project + "/api-keys"
	)
	key := func(k *stored) object {
		return object{"id": k.id, "name": k.label, "project_id": project, "roles": []string{"DataPlaneViewer"}}
	}
	version := func(r *http.Request) {
		if r.Header.Get("X-Pinecone-Api-Version") != "2026-04" {
			a.refuses = "it has no version of the API"
		}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		version(r)
		k, _ := a.add(text(a.read(r, "name", "roles"), "name"))
		reply(w, http.StatusCreated, object{"key": key(k), "value": k.value})
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		version(r)
		list := []object{}
		for _, k := range a.keys {
			list = append(list, key(k))
		}
		reply(w, http.StatusOK, object{"data": list})
	})
	mux.HandleFunc("DELETE /admin/api-keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		version(r)
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{
				"status": 404, "error": object{"code": "NOT_FOUND", "message": "API key not found"},
			})
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// resend: https://resend.com/docs/api-reference/api-keys/create-api-key
func resend(a *account) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api-keys", func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name permission", "domain_id")
		const longest = 50
		if len(text(body, "name")) > longest {
			a.refuses = "the name is too long"
		}
		k, _ := a.add(text(body, "name"))
		reply(w, http.StatusCreated, object{"id": k.id, "token": k.value})
	})
	mux.HandleFunc("GET /api-keys", func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "", "limit after before")
		list := []object{}
		for _, k := range a.keys {
			list = append(list, object{"id": k.id, "name": k.label, "created_at": k.created, "last_used_at": nil})
		}
		reply(w, http.StatusOK, object{"object": "list", "has_more": false, "data": list})
	})
	mux.HandleFunc("DELETE /api-keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			body := object{"statusCode": 404, "name": "not_found", "message": "API key not found"}
			reply(w, http.StatusNotFound, body)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return mux
}

// twilio: https://www.twilio.com/docs/usage/api/keys
func twilio(a *account) http.Handler {
	mux := http.NewServeMux()
	key := func(k *stored) object {
		return object{
			"sid": k.id, "friendly_name": k.label, "date_created": k.created.Format(time.RFC1123Z),
			"date_updated": k.created.Format(time.RFC1123Z),
		}
	}
	const path = "/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Keys"
	mux.HandleFunc("POST "+path+".json", func(w http.ResponseWriter, r *http.Request) {
		k, _ := a.add(a.form(r, "", "FriendlyName").Get("FriendlyName"))
		body := key(k)
		body["secret"] = k.value
		reply(w, http.StatusCreated, body)
	})
	mux.HandleFunc("GET "+path+".json", func(w http.ResponseWriter, r *http.Request) {
		at := a.query(r, "", "PageSize Page PageToken").Get("Page")
		list, next := []object{}, any(nil)
		for _, k := range page(a, at, 0) {
			list = append(list, key(k))
		}
		if at == "" && len(a.keys) > 2 {
			next = path + ".json?PageSize=2&Page=1&PageToken=PASK1"
		}
		reply(w, http.StatusOK, object{"keys": list, "next_page_uri": next, "page": 0, "page_size": 2})
	})
	mux.HandleFunc("DELETE "+path+"/{file}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("file")
		if len(id) < 5 || id[len(id)-5:] != ".json" || !a.remove(id[:len(id)-5]) {
			reply(w, http.StatusNotFound, object{"code": 20404, "message": "was not found", "status": 404})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
