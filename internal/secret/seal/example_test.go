package seal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sallyport/internal/database"
	"sallyport/internal/secret/seal"
)

// What is sealed opens as itself alone: as another name or version it is refused.
func ExampleSealer() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "seal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	sealer := exampleSealer(ctx, dir)
	sealed, err := sealer.Seal("secret", "openai", 3, []byte("sk-live-4711"))
	fmt.Println(len(sealed), err)
	plain, err := sealer.Unseal("secret", "openai", 3, sealed)
	fmt.Println(string(plain), err)
	_, err = sealer.Unseal("secret", "openai", 4, sealed)
	fmt.Println(err != nil)
	// Output:
	// 45 <nil>
	// sk-live-4711 <nil>
	// true
}

func exampleSealer(ctx context.Context, dir string) *seal.Sealer {
	key := filepath.Join(dir, "seal.key")
	if err := seal.GenerateKeyFile(key); err != nil {
		panic(err)
	}
	keeper, err := seal.KeyFromFile(key)
	if err != nil {
		panic(err)
	}
	db, err := database.Open(ctx, filepath.Join(dir, "sallyport.db"))
	if err != nil {
		panic(err)
	}
	if err := db.Migrate(ctx); err != nil {
		panic(err)
	}
	sealer, err := seal.Open(ctx, db, keeper)
	if err != nil {
		panic(err)
	}
	return sealer
}
