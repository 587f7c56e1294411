package httpdriver_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// awsIAM: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html
func awsIAM(a *account) http.Handler {
	write := func(w http.ResponseWriter, status int, format string, args ...any) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, format, args...)
	}
	fail := func(w http.ResponseWriter, status int, code, message string) {
		write(w, status, `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>`+
			`<Code>%s</Code><Message>%s</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, code, message)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		switch action := r.FormValue("Action"); action {
		case "CreateAccessKey":
			a.form(r, "Action Version UserName", "")
			k, err := a.add("")
			if err != nil {
				fail(w, http.StatusConflict, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
				return
			}
			write(w, http.StatusOK, `<?xml version="1.0"?>`+
				`<CreateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateAccessKeyResult>`+
				`<AccessKey><UserName>n8n</UserName><AccessKeyId>%s</AccessKeyId><Status>Active</Status>`+
				`<SecretAccessKey>%s</SecretAccessKey><CreateDate>%s</CreateDate></AccessKey></CreateAccessKeyResult>`+
				`<ResponseMetadata><RequestId>r-2</RequestId></ResponseMetadata></CreateAccessKeyResponse>`,
				k.id, k.value, k.created.Format(time.RFC3339))
		case "DeleteAccessKey":
			form := a.form(r, "Action Version UserName AccessKeyId", "")
			if !a.remove(form.Get("AccessKeyId")) {
				fail(w, http.StatusNotFound, "NoSuchEntity", "The Access Key with that id cannot be found.")
				return
			}
			write(w, http.StatusOK, `<DeleteAccessKeyResponse><ResponseMetadata><RequestId>r-3</RequestId>`+
				`</ResponseMetadata></DeleteAccessKeyResponse>`)
		default:
			a.refuses = "unknown action " + action
		}
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "Action Version UserName", "Marker")
		var members strings.Builder
		for _, k := range a.keys {
			members.WriteString("<member><UserName>n8n</UserName><AccessKeyId>")
			_ = xml.EscapeText(&members, []byte(k.id))
			members.WriteString("</AccessKeyId><Status>Active</Status></member>")
		}
		write(w, http.StatusOK, `<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">`+
			`<ListAccessKeysResult><UserName>n8n</UserName><AccessKeyMetadata>%s</AccessKeyMetadata>`+
			`<IsTruncated>false</IsTruncated></ListAccessKeysResult></ListAccessKeysResponse>`, members.String())
	})
	return mux
}

// gcp: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys
func gcp(a *account) http.Handler {
	mux := http.NewServeMux()
	const (
		path = "/v1/projects/-/serviceAccounts/n8n@project.iam.gserviceaccount.com/keys"
		name = "projects/project/serviceAccounts/n8n@project.iam.gserviceaccount.com/keys/"
	)
	fail := func(w http.ResponseWriter, status int, kind, message string) {
		reply(w, status, object{"error": object{"code": status, "message": message, "status": kind}})
	}
	key := func(k *stored) object {
		return object{
			"name": name + k.id, "validAfterTime": k.created, "validBeforeTime": "9999-12-31T23:59:59Z",
			"keyAlgorithm": "KEY_ALG_RSA_2048", "keyOrigin": "GOOGLE_PROVIDED", "keyType": "USER_MANAGED",
		}
	}
	a.v.wire = func(value string) string {
		file, _ := json.Marshal(object{"type": "service_account", "private_key": value})
		return base64.StdEncoding.EncodeToString(file)
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		a.read(r, "", "privateKeyType keyAlgorithm")
		k, err := a.add("")
		if err != nil {
			fail(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Maximum number of keys on account reached.")
			return
		}
		body := key(k)
		body["privateKeyType"], body["privateKeyData"] = "TYPE_GOOGLE_CREDENTIALS_FILE", a.v.wire(k.value)
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "", "keyTypes")
		body := object{} // without keys there is no list
		for _, k := range a.keys {
			list, _ := body["keys"].([]object)
			body["keys"] = append(list, key(k))
		}
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			fail(w, http.StatusNotFound, "NOT_FOUND", "Service account key does not exist.")
			return
		}
		reply(w, http.StatusOK, object{})
	})
	return mux
}

// azureApp: https://learn.microsoft.com/en-us/graph/api/application-addpassword
func azureApp(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/v1.0/applications/00000000-1111-2222-3333-444444444444"
	password := func(k *stored) object {
		return object{
			"customKeyIdentifier": nil, "displayName": k.label, "hint": k.value[:3], "keyId": k.id, "secretText": nil,
			"startDateTime": k.created, "endDateTime": k.created.AddDate(0, 6, 0),
		}
	}
	mux.HandleFunc("POST "+path+"/addPassword", func(w http.ResponseWriter, r *http.Request) {
		wanted, _ := a.read(r, "passwordCredential", "")["passwordCredential"].(object)
		a.strict(wanted, "displayName", "endDateTime startDateTime")
		if _, err := time.Parse(time.RFC3339, text(wanted, "endDateTime")); err != nil {
			a.refuses = "endDateTime is no time"
		}
		k, _ := a.add(text(wanted, "displayName"))
		body := password(k)
		body["@odata.context"], body["secretText"] = "https://graph.microsoft.com/v1.0/$metadata", k.value
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		if a.query(r, "$select", "").Get("$select") != "passwordCredentials" {
			a.refuses = "it selects something else"
		}
		list := []object{}
		for _, k := range a.keys {
			list = append(list, password(k))
		}
		reply(w, http.StatusOK, object{"passwordCredentials": list})
	})
	mux.HandleFunc("POST "+path+"/removePassword", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(text(a.read(r, "keyId", ""), "keyId")) {
			reply(w, http.StatusBadRequest, object{"error": object{
				"code": "Request_BadRequest", "message": "No password credential found with keyId.",
			}})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// cloudflare: https://developers.cloudflare.com/api/resources/accounts/subresources/tokens/
func cloudflare(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/tokens"
	result := func(w http.ResponseWriter, body any) {
		reply(w, http.StatusOK, object{"success": true, "errors": []any{}, "messages": []any{}, "result": body})
	}
	token := func(k *stored) object {
		return object{"id": k.id, "name": k.label, "status": "active", "issued_on": k.created, "policies": []any{}}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name policies", "expires_on not_before condition")
		if _, ok := body["policies"].([]any); !ok {
			a.refuses = "policies is no list"
		}
		k, _ := a.add(text(body, "name"))
		made := token(k)
		made["value"] = k.value
		result(w, made)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, k := range page(a, a.query(r, "", "page per_page direction").Get("page"), 1) {
			list = append(list, token(k))
		}
		result(w, list)
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{
				"success": false, "messages": []any{}, "result": nil,
				"errors": []object{{"code": 1003, "message": "Valid token_id is required."}},
			})
			return
		}
		result(w, object{"id": r.PathValue("id")})
	})
	return mux
}

// linode: https://techdocs.akamai.com/linode-api/reference/post-personal-access-token
func linode(a *account) http.Handler {
	mux := http.NewServeMux()
	token := func(k *stored) object {
		return object{
			"id": json.Number(k.id), "label": k.label, "scopes": "linodes:read_only", "token": k.value[:16],
			"created": "2026-03-01T12:00:00", "expiry": "2026-09-01T12:00:00",
		}
	}
	fail := func(w http.ResponseWriter, reason string) {
		reply(w, http.StatusNotFound, object{"errors": []object{{"reason": reason}}})
	}
	mux.HandleFunc("POST /v4/profile/tokens", func(w http.ResponseWriter, r *http.Request) {
		asked := a.read(r, "label scopes expiry", "")
		if _, err := time.Parse("2006-01-02T15:04:05", text(asked, "expiry")); err != nil {
			a.refuses = "expiry is no time without a zone"
		}
		k, _ := a.add(text(asked, "label"))
		body := token(k)
		body["token"] = k.value
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("GET /v4/profile/tokens", func(w http.ResponseWriter, r *http.Request) {
		at := a.query(r, "", "page page_size").Get("page")
		list, pages := []object{}, (len(a.keys)+1)/2
		for _, k := range page(a, at, 1) {
			list = append(list, token(k))
		}
		if len(list) == 0 && pages > 0 {
			fail(w, "Not found") // a page after the last one
			return
		}
		reply(w, http.StatusOK, object{"data": list, "page": json.Number(at), "pages": pages, "results": len(a.keys)})
	})
	mux.HandleFunc("DELETE /v4/profile/tokens/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			fail(w, "Not found")
			return
		}
		reply(w, http.StatusOK, object{})
	})
	return mux
}

// spaces: https://docs.digitalocean.com/reference/api/reference/spaces-keys/
func spaces(a *account) http.Handler {
	mux := http.NewServeMux()
	key := func(k *stored) object {
		return object{"name": k.label, "access_key": k.id, "grants": []any{}, "created_at": k.created}
	}
	mux.HandleFunc("POST /v2/spaces/keys", func(w http.ResponseWriter, r *http.Request) {
		k, _ := a.add(text(a.read(r, "name grants", ""), "name"))
		body := key(k)
		body["secret_key"] = k.value
		reply(w, http.StatusCreated, object{"key": body})
	})
	mux.HandleFunc("GET /v2/spaces/keys", func(w http.ResponseWriter, r *http.Request) {
		at := a.query(r, "", "page per_page").Get("page")
		if at == "" {
			at = "1"
		}
		list, pages := []object{}, object{}
		for _, k := range page(a, at, 1) {
			list = append(list, key(k))
		}
		if at == "1" && len(a.keys) > 2 {
			pages["next"] = "https://api.digitalocean.com/v2/spaces/keys?page=2&per_page=2"
		}
		meta := object{"total": len(a.keys)}
		reply(w, http.StatusOK, object{"keys": list, "links": object{"pages": pages}, "meta": meta})
	})
	mux.HandleFunc("DELETE /v2/spaces/keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"id": "not_found", "message": "The resource could not be found."})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
