package database_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/n8n/database"
)

// TestStrays finds ciphertext in columns of any kind, and none in what the inventory knows.
func TestStrays(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.exec(s.sql(`CREATE TABLE "` + s.TablePrefix + `keyless" (note text)`))
		s.exec(s.sql(`ALTER TABLE "` + s.TablePrefix + `credentials_entity" ADD COLUMN "newColumn" text`))
		if s.dialect != database.MySQL {
			s.insert("deployment_key", "id", keyID, "type", "data_encryption", "value", gcm, "algorithm", "aes-256-gcm",
				"status", "active")
		}
		s.insert("credentials_entity", "id", "1", "name", "U2FsdGVkX1 is no value", "data", cbc1,
			"type", "t", "newColumn", prefixed)
		s.insert("settings", "key", "features.ldap", "value", `{"bindingAdminPassword":"`+cbc1+`","added":"`+cbc2+`"}`)
		s.insert("settings", "key", "unknown", "value", cbc1)
		s.insert("workflow_entity", "id", "w", "name", "x", "nodes", `[{"a":"\n`+cbc1+`\n`+prefixed+`"}]`)
		s.insert("execution_data", "executionId", 5, "workflowData", `{}`,
			"data", `[{"executionData":"1"},{"runtimeData":"2"},{"credentials":"3"},"`+cbc1+`","`+cbc2+`","x`+cbc1+`"]`)
		s.insert("keyless", "note", "see "+cbc2+".")
		tx := begin(t, s.open(), false)
		var got []string
		err := tx.Strays(t.Context(), []string{keyID}, func(stray database.Stray) error {
			if stray.Table == "keyless" {
				stray.Row = ""
			}
			got = append(got, stray.String()+" "+stray.Stored)
			return nil
		})
		want := []string{
			"credentials_entity.newColumn of 1 " + prefixed,
			"execution_data.data of 5 " + cbc2,
			"keyless.note of  " + cbc2,
			"settings.value of features.ldap " + cbc2,
			"settings.value of unknown " + cbc1,
			"workflow_entity.nodes of w " + cbc1,
			"workflow_entity.nodes of w " + prefixed,
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
