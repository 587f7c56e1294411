package database_test

import (
	"testing"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// TestDeploymentKeys reads, changes, adds and removes, under the index that allows one active row of a type.
func TestDeploymentKeys(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		ctx, db := t.Context(), s.open()
		tx := begin(t, db, true)
		if s.dialect == database.MySQL {
			if keys, err := tx.DeploymentKeys(ctx); keys != nil || err != nil {
				t.Errorf("got %v, %v", keys, err)
			}
			return
		}
		row := func(id, kind, algorithm, value, status string) database.DeploymentKeyRow {
			return database.DeploymentKeyRow{
				ID: id, Status: status,
				DeploymentKey: cipher.DeploymentKey{
					Type: kind, Algorithm: algorithm,
					Value: secret.NewValue([]byte(value)),
				},
			}
		}
		add := func(r database.DeploymentKeyRow) {
			if err := tx.AddDeploymentKey(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		add(row("i", cipher.TypeInstanceID, "", "plain", "active"))
		add(row("a", cipher.TypeDataEncryption, cipher.AlgorithmGCM, "one", "active"))
		for _, err := range []error{
			tx.SetDeploymentKey(ctx, "a", "two"), tx.SetDeploymentKeyStatus(ctx, "a", "inactive"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		add(row("b", cipher.TypeDataEncryption, cipher.AlgorithmGCM, "three", "active"))
		add(row("c", cipher.TypeDataEncryption, cipher.AlgorithmCBC, "four", "inactive"))
		if err := tx.RemoveDeploymentKey(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		keys, err := tx.DeploymentKeys(ctx)
		if err != nil || len(keys) != 3 {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for i, want := range []string{
			"a data_encryption aes-256-gcm two inactive",
			"b data_encryption aes-256-gcm three active", "i instance.id  plain active",
		} {
			k := keys[i]
			if got := k.ID + " " + k.Type + " " + k.Algorithm + " " + string(k.Value.Reveal()) + " " +
				k.Status; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		for name, err := range map[string]error{
			"value": tx.SetDeploymentKey(ctx, "none", "x"), "status": tx.SetDeploymentKeyStatus(ctx, "none", "x"), "remove": tx.RemoveDeploymentKey(ctx, "none"),
		} {
			if err == nil {
				t.Errorf("%s of a row that is not there", name)
			}
		}
		if err := tx.SetDeploymentKeyStatus(ctx, "a", "active"); err == nil {
			t.Error("two active rows of one type")
		}
	})
}
