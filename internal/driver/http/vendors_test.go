package httpdriver_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"sallyport/internal/driver/drivertest"
	httpdriver "sallyport/internal/driver/http"
)

// TestProviders holds each provider to the contract of drivers, at a stand-in of its API.
func TestProviders(t *testing.T) {
	for _, name := range httpdriver.Providers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, ok := vendors()[name]; !ok {
				t.Fatal("there is no stand-in of its API")
			}
			drivertest.Run(t, func(t *testing.T) *drivertest.World { return newWorld(t, name) })
		})
	}
}

// vendors are the stand-ins, by provider.
func vendors() map[string]vendor {
	of := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	number := func(n int) string { return strconv.Itoa(1_000_000 + n) }
	return map[string]vendor{
		"auth0": {parameters: of("client", "c1"), limit: 1, api: auth0},
		"aws-iam": {
			parameters: of("user", "n8n"), limit: 2, api: awsIAM, inner: field("secret_key"),
			first: `{"access_key": "{id}", "secret_key": "{value}"}`,
		},
		"azure-app":  {parameters: of("app", "a-1", "lifetime", "90d"), api: azureApp},
		"cloudflare": {parameters: of("owner", "accounts/a1", "policies", `[{"effect":"allow"}]`), api: cloudflare},
		"datadog":    {limit: 5, api: datadog},
		"digitalocean-spaces": {
			parameters: of("grants", `[{"bucket":"b","permission":"read"}]`), api: spaces, inner: field("secret_key"),
			first: `{"access_key": "{id}", "secret_key": "{value}"}`,
		},
		"elasticsearch": {parameters: of("roles", `{"n8n":{}}`, "lifetime", "30d"), api: elasticsearch},
		"gcp-service-account": {
			parameters: of("account", "n8n@p.iam.gserviceaccount.com"), limit: 10, api: gcp,
			inner: field("private_key"), first: `{"private_key": "{value}"}`,
		},
		"gitlab":  {parameters: of("owner", "projects/42", "scopes", "read_api"), api: gitlab, id: number},
		"grafana": {parameters: of("account", "2", "lifetime", "30d"), api: grafana, id: number},
		"linode":  {parameters: of("scopes", "linodes:read_only"), api: linode, id: number},
		"mailgun": {parameters: of("role", "sending", "kind", "domain", "domain", "mg.example.com"), api: mailgun},
		"mongodb-atlas": {
			parameters: of("organisation", "o1", "roles", "ORG_READ_ONLY"), api: atlas, inner: field("private_key"),
			first: `{"public_key": "public", "private_key": "{value}"}`,
		},
		"okta":     {parameters: of("app", "0oa1"), limit: 2, api: okta},
		"openai":   {parameters: of("project", "proj_abc"), api: openai},
		"pinecone": {parameters: of("project", "p1", "roles", "DataPlaneViewer"), api: pinecone},
		"resend":   {api: resend},
		"sendgrid": {parameters: of("scopes", "mail.send, stats.read"), limit: 4, api: sendgrid},
		"twilio": {
			parameters: of("account", "AC1"), api: twilio, inner: field("secret"),
			first: `{"sid": "{id}", "secret": "{value}"}`,
		},
	}
}

// field reads the vendor's own value from what the store has.
func field(name string) func([]byte) string {
	return func(value []byte) string {
		fields := object{}
		_ = json.Unmarshal(value, &fields)
		return text(fields, name)
	}
}

// sendgrid: https://www.twilio.com/docs/sendgrid/api-reference/api-keys
func sendgrid(a *account) http.Handler {
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, status int, message string) {
		reply(w, status, object{"errors": []object{{"message": message, "field": nil}}})
	}
	mux.HandleFunc("POST /v3/api_keys", func(w http.ResponseWriter, r *http.Request) {
		body := a.read(r, "name scopes", "")
		k, err := a.add(text(body, "name"))
		if err != nil {
			fail(w, http.StatusForbidden, "Cannot create more than the maximum of 100 API Keys")
			return
		}
		reply(w, http.StatusCreated, object{
			"name": k.label, "api_key_id": k.id, "api_key": k.value, "scopes": body["scopes"],
		})
	})
	mux.HandleFunc("GET /v3/api_keys", func(w http.ResponseWriter, r *http.Request) {
		a.query(r, "", "limit")
		list := []object{}
		for _, k := range a.keys {
			list = append(list, object{"name": k.label, "api_key_id": k.id})
		}
		reply(w, http.StatusOK, object{"result": list})
	})
	mux.HandleFunc("DELETE /v3/api_keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			fail(w, http.StatusNotFound, "unable to find API Key")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// openai: https://developers.openai.com/api/reference/resources/admin
func openai(a *account) http.Handler {
	mux := http.NewServeMux()
	const path = "/v1/organization/projects/proj_abc/service_accounts"
	account := func(k *stored) object {
		return object{
			"object": "organization.project.service_account", "id": k.id, "name": k.label, "role": "member",
			"created_at": k.created.Unix(),
		}
	}
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		k, _ := a.add(text(a.read(r, "name", "create_service_account_only expires_in_seconds"), "name"))
		body := account(k)
		body["api_key"] = object{
			"object": "organization.project.service_account.api_key", "value": k.value, "name": "Secret Key",
			"created_at": k.created.Unix(), "id": "of-" + k.id,
		}
		reply(w, http.StatusOK, body)
	})
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		q := a.query(r, "limit", "after")
		list, last, more := []object{}, "", false
		skip := q.Get("after") != ""
		for _, k := range a.keys {
			switch {
			case skip:
				skip = k.id != q.Get("after")
			case len(list) == 2: // a small page
				more = true
			default:
				list, last = append(list, account(k)), k.id
			}
		}
		reply(w, http.StatusOK, object{"object": "list", "data": list, "last_id": last, "has_more": more})
	})
	mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !a.remove(r.PathValue("id")) {
			reply(w, http.StatusNotFound, object{"error": object{
				"message": "No such service account", "type": "invalid_request_error", "code": nil, "param": nil,
			}})
			return
		}
		reply(w, http.StatusOK, object{
			"object": "organization.project.service_account.deleted", "id": r.PathValue("id"), "deleted": true,
		})
	})
	return mux
}
