// Starts GraphiQL. The key is typed into the tab "Headers" and stays in the page: it is not stored.
const fetcher = async (params, options) => {
  const answer = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(options && options.headers) },
    body: JSON.stringify(params),
  });
  if (answer.status === 401) {
    const message = "Put the key of a token into the tab Headers, then press the button at the bottom left that fetches the schema again.";
    return { errors: [{ message }] };
  }
  return answer.json();
};
const query = `# Put the key of a token into the tab "Headers".
query Models($environment: BigInt!) {
  environment(id: $environment) {
    adapterType
    applied {
      models(first: 20) {
        totalCount
        edges {
          node {
            uniqueId
            description
            executionInfo { lastRunStatus }
          }
        }
      }
    }
  }
}
`;
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: query,
    variables: '{ "environment": 1 }',
    headers: '{ "Authorization": "Token " }',
    shouldPersistHeaders: false,
    isHeadersEditorEnabled: true,
  }),
);
