package mysql

import (
	"testing"

	"sallyport/internal/secret"
)

// TestHash: what crypt(3) and PASSWORD() make of the same.
func TestHash(t *testing.T) {
	for _, c := range []struct {
		password, salt string
		rounds         int
		want           string
	}{
		{"Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"Hello world!", "saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"},
	} {
		got := shaCrypt([]byte(c.password), []byte(c.salt), c.rounds)
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.salt, got, c.want)
		}
	}
	if got, ok := hashFor(pluginNative, secret.NewValue([]byte("password")), ""); !ok ||
		got != "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19" {
		t.Errorf("native: got %s", got)
	}
	for _, plugin := range []string{pluginNative, pluginSHA2} {
		password := secret.NewValue([]byte("pässword"))
		hash, _ := hashFor(plugin, password, "run")
		if !matches(hash, password) || matches(hash, secret.NewValue([]byte("another"))) {
			t.Errorf("%s: the hash is not that of its password alone", plugin)
		}
	}
	for _, hash := range []string{"", "*", "$A$", "$A$005$short", "$A$000$01234567890123456789x", "$5$x", "$A$zzz$x"} {
		if matches(hash, secret.NewValue([]byte("x"))) {
			t.Errorf("%q matches", hash)
		}
	}
}
