// Sign requests with the libraries from npm. Each line of standard input is one request in JSON.
const readline = require("node:readline");
const libraries = { standardwebhooks: require("standardwebhooks"), svix: require("svix") };

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { library, secret, id, at, body } = JSON.parse(line);
  console.log(new libraries[library].Webhook(secret).sign(id, new Date(at * 1000), body));
});
