package cli

//go:generate sh -c "go run ../../cmd/sallyport reference errors > ../../docs/errors.md"
//go:generate sh -c "go run ../../cmd/sallyport reference configuration > ../../docs/configuration.md"
//go:generate sh -c "go run ../../cmd/sallyport reference cli > ../../docs/cli.md"
//go:generate sh -c "go run ../../cmd/sallyport reference presets > ../../docs/presets.md"
