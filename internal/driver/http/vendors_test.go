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
	number := func(n int) string { return strconv.Itoa(1_000_000 + n) }
	return map[string]vendor{
		"auth0": {limit: 1, api: auth0},
		"aws-iam": {
			limit: 2, api: awsIAM, inner: field("secret_key"),
			first: `{"access_key": "{id}", "secret_key": "{value}"}`,
		},
		"azure-app":  {api: azureApp},
		"cloudflare": {api: cloudflare},
		"datadog":    {limit: 5, api: datadog},
		"digitalocean-spaces": {
			api: spaces, inner: field("secret_key"),
			first: `{"access_key": "{id}", "secret_key": "{value}"}`,
		},
		"elasticsearch": {parameters: map[string]string{"lifetime": "30d"}, api: elasticsearch},
		"gcp-service-account": {
			limit: 10, api: gcp,
			inner: field("private_key"), first: `{"private_key": "{value}"}`,
		},
		"gitlab":  {api: gitlab, id: number},
		"grafana": {api: grafana, id: number},
		"linode":  {api: linode, id: number},
		"mailgun": {api: mailgun},
		"mongodb-atlas": {
			api: atlas, inner: field("private_key"),
			first: `{"public_key": "public", "private_key": "{value}"}`,
		},
		"okta":     {limit: 2, api: okta},
		"openai":   {api: openai},
		"pinecone": {api: pinecone},
		"resend":   {api: resend},
		"sendgrid": {limit: 4, api: sendgrid},
		"twilio": {
			api: twilio, inner: field("secret"),
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
